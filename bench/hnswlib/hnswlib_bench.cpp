// Builds an hnswlib index and answers searches on request, so that a driver can take turns with another engine.
//
//   hnswlib_bench VECTORS QUERIES TRUTH ip|l2 M EF_CONSTRUCT THREADS INDEX
//
// A vector file is u32 count, u32 dim, then floats; TRUTH is u32 queries, u32 k, then u32 ids. Rows are padded with
// zeros to a multiple of 16 floats, for which hnswlib has its fastest kernels. INDEX is read if it exists, written
// otherwise. Prints "built SECONDS CPU_SECONDS BYTES" (0 if read), then for each line "EF" on standard input
// "EF QUERIES_PER_SECOND RECALL", one thread, seconds of CPU time.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <hnswlib/hnswlib.h>
#include <sys/resource.h>

template <class T> struct Table {
  uint32_t n = 0, dim = 0, stride = 0;
  std::vector<T> data;
  T *row(size_t i) { return data.data() + i * stride; }
};

template <class T> static Table<T> read(const char *path, uint32_t pad) {
  Table<T> t;
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char *>(&t.n), 4);
  in.read(reinterpret_cast<char *>(&t.dim), 4);
  t.stride = (t.dim + pad - 1) / pad * pad;
  t.data.resize(size_t(t.n) * t.stride);
  for (size_t i = 0; i < t.n; i++) in.read(reinterpret_cast<char *>(t.row(i)), sizeof(T) * t.dim);
  if (!in) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(1);
  }
  return t;
}

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double cpu() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv) {
  if (argc != 9) return 2;
  auto vectors = read<float>(argv[1], 16);
  auto queries = read<float>(argv[2], 16);
  auto truth = read<uint32_t>(argv[3], 1);
  size_t dim = vectors.stride, m = atoi(argv[5]), construct = atoi(argv[6]);
  int threads = atoi(argv[7]);
  std::string file = argv[8];
  hnswlib::SpaceInterface<float> *space;
  if (std::string(argv[4]) == "l2") {
    space = new hnswlib::L2Space(dim);
  } else {
    space = new hnswlib::InnerProductSpace(dim);
  }

  hnswlib::HierarchicalNSW<float> *index;
  double seconds = 0, spent = 0;
  if (std::ifstream(file).good()) {
    index = new hnswlib::HierarchicalNSW<float>(space, file);
  } else {
    index = new hnswlib::HierarchicalNSW<float>(space, vectors.n, m, construct);
    double start = now(), used = cpu();
    index->addPoint(vectors.row(0), 0);
    std::atomic<uint32_t> next{1};
    std::vector<std::thread> pool;
    for (int t = 0; t < threads; t++) {
      pool.emplace_back([&] {
        for (uint32_t i; (i = next++) < vectors.n;) index->addPoint(vectors.row(i), i);
      });
    }
    for (auto &t : pool) t.join();
    seconds = now() - start;
    spent = cpu() - used;
    index->saveIndex(file);
  }
  printf("built %.3f %.3f %zu\n", seconds, spent, index->size_data_per_element_ * vectors.n);
  fflush(stdout);

  size_t ef;
  while (scanf("%zu", &ef) == 1) {
    index->setEf(ef);
    size_t found = 0;
    double start = cpu();
    for (uint32_t q = 0; q < queries.n; q++) {
      auto best = index->searchKnn(queries.row(q), truth.dim);
      for (; !best.empty(); best.pop()) {
        for (uint32_t i = 0; i < truth.dim; i++) found += truth.row(q)[i] == best.top().second;
      }
    }
    double spent = cpu() - start;
    printf("%zu %.1f %.5f\n", ef, queries.n / spent, double(found) / (size_t(queries.n) * truth.dim));
    fflush(stdout);
  }
}
