"""The quickstart that a Python user writes, unchanged, against the server at argv[1]. Exits non-zero at the first surprise."""

import sys
import time
import uuid
import warnings

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

warnings.simplefilter("error")  # a version warning of the client is a failure
client = QdrantClient(url=sys.argv[1], timeout=30)


def expect_status(status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except UnexpectedResponse as e:
        assert e.status_code == status, e
        return e.content.decode()
    raise AssertionError(f"expected status {status}")


def wait_green(name):
    deadline = time.time() + 60
    while client.get_collection(name).status != models.CollectionStatus.GREEN:
        assert time.time() < deadline, "the collection did not become green"
        time.sleep(0.05)


def quickstart():
    client.create_collection("cities", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    assert client.collection_exists("cities") and not client.collection_exists("nowhere")
    assert "cities" in [c.name for c in client.get_collections().collections]
    answer = client.upsert(
        "cities",
        wait=True,
        points=[
            models.PointStruct(id=1, vector=[0.05, 0.61, 0.76, 0.74], payload={"city": "Berlin", "pop": 3_700_000}),
            models.PointStruct(id=2, vector=[0.19, 0.81, 0.75, 0.11], payload={"city": "London", "pop": 8_900_000}),
            models.PointStruct(id=3, vector=[0.36, 0.55, 0.47, 0.94], payload={"city": "Moscow"}),
            models.PointStruct(id=4, vector=[0.18, 0.01, 0.85, 0.80], payload={"city": "New York"}),
            models.PointStruct(id=5, vector=[0.24, 0.18, 0.22, 0.44], payload={"city": "Beijing"}),
            models.PointStruct(id=6, vector=[0.35, 0.08, 0.11, 0.44], payload={"city": ["Mumbai", "Bombay"]}),
        ],
    )
    assert answer.status == models.UpdateStatus.COMPLETED and answer.operation_id == 1, answer

    hits = client.query_points("cities", query=[0.2, 0.1, 0.9, 0.7], limit=3).points
    assert [h.id for h in hits] == [4, 1, 3], hits
    assert abs(hits[0].score - 1.362) < 1e-5 and hits[0].vector is None

    london = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchValue(value="London"))])
    hits = client.query_points("cities", query=[0.2, 0.1, 0.9, 0.7], query_filter=london, with_payload=True, with_vectors=True).points
    assert len(hits) == 1 and hits[0].payload == {"city": "London", "pop": 8_900_000}
    assert np.allclose(hits[0].vector, [0.19, 0.81, 0.75, 0.11])

    assert [h.id for h in client.query_points("cities", query=4, limit=2).points] == [1, 3]
    assert [h.id for h in client.query_points("cities", query=[0.2, 0.1, 0.9, 0.7], limit=2, offset=1).points] == [1, 3]
    assert [h.id for h in client.query_points("cities", query=[0.2, 0.1, 0.9, 0.7], score_threshold=1.2).points] == [4, 1, 3]

    records, following = client.scroll("cities", limit=4, with_vectors=False)
    assert [r.id for r in records] == [1, 2, 3, 4] and following == 5 and records[2].payload == {"city": "Moscow"}
    records, following = client.scroll("cities", offset=following)
    assert [r.id for r in records] == [5, 6] and following is None

    assert client.count("cities").count == 6
    assert client.count("cities", count_filter=london).count == 1
    client.delete("cities", points_selector=models.FilterSelector(filter=london))
    client.delete("cities", points_selector=[6])
    assert [r.id for r in client.retrieve("cities", ids=[6, 5, 1])] == [5, 1]
    info = client.get_collection("cities")
    assert info.points_count == 4 and info.config.params.vectors.size == 4, info
    wait_green("cities")


def payloads_and_indexes():
    client.set_payload("cities", payload={"visited": True, "pop": None}, points=[1])
    assert client.retrieve("cities", ids=[1])[0].payload == {"city": "Berlin", "visited": True}
    client.overwrite_payload("cities", payload={"city": "Berlin", "n": 18446744073709551615, "f": 1.0}, points=[1])
    payload = client.retrieve("cities", ids=[1])[0].payload
    assert payload["n"] == 18446744073709551615 and isinstance(payload["f"], float), payload
    client.delete_payload("cities", keys=["n"], points=[1])
    client.clear_payload("cities", points_selector=[5])
    assert client.retrieve("cities", ids=[5])[0].payload == {}
    client.create_payload_index("cities", field_name="city", field_schema=models.PayloadSchemaType.KEYWORD, wait=True)
    client.create_payload_index("cities", field_name="pop", field_schema=models.IntegerIndexParams(type="integer", lookup=True, range=True), wait=True)
    schema = client.get_collection("cities").payload_schema
    assert schema["city"].data_type == models.PayloadSchemaType.KEYWORD and schema["city"].points == 3, schema
    client.set_payload("cities", payload={"pop": 7}, points=[3])
    client.set_payload("cities", payload={"pop": 5}, points=[4])
    records, _ = client.scroll("cities", order_by="pop")
    assert [r.id for r in records] == [4, 3], records
    client.delete_payload_index("cities", field_name="pop")


def every_kind_of_vector():
    client.create_collection(
        "kinds",
        vectors_config={
            "text": models.VectorParams(size=3, distance=models.Distance.COSINE),
            "small": models.VectorParams(size=2, distance=models.Distance.EUCLID, datatype=models.Datatype.UINT8),
            "half": models.VectorParams(size=2, distance=models.Distance.MANHATTAN, datatype=models.Datatype.FLOAT16),
            "late": models.VectorParams(size=2, distance=models.Distance.DOT,
                                        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)),
        },
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        quantization_config=models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99)),
    )
    key = str(uuid.uuid4())
    client.upsert("kinds", points=[
        models.PointStruct(id=key, payload={"nested": [{"x": 1}, {"x": 2}]}, vector={
            "text": [3, 4, 0], "small": [1.9, 300], "half": [1, 2], "late": [[1, 0], [0, 1]],
            "words": models.SparseVector(indices=[7, 3], values=[0.5, 2.0]),
        }),
        models.PointStruct(id=1, vector={"text": [0, 1, 0], "late": [[2, 2]], "words": models.SparseVector(indices=[3], values=[1.0])}),
    ])
    record = client.retrieve("kinds", ids=[key], with_vectors=True)[0]
    assert np.allclose(record.vector["text"], [0.6, 0.8, 0.0]) and record.vector["small"] == [1.0, 255.0]
    assert record.vector["late"] == [[1.0, 0.0], [0.0, 1.0]] and record.vector["words"].indices == [3, 7]
    assert client.query_points("kinds", query=[3, 4, 0], using="text").points[0].id == key
    assert [p.id for p in client.query_points("kinds", query=[[1, 1], [2, 0]], using="late").points] == [1, key]
    assert client.query_points("kinds", query=models.SparseVector(indices=[7], values=[1.0]), using="words").points[0].id == key
    client.update_vectors("kinds", points=[models.PointVectors(id=1, vector={"half": [0, 0]})])
    client.delete_vectors("kinds", vectors=["late"], points=[1])
    assert sorted(client.retrieve("kinds", ids=[1], with_vectors=True)[0].vector) == ["half", "text", "words"]
    nested = models.Filter(must=[models.NestedCondition(nested=models.Nested(
        key="nested", filter=models.Filter(must=[models.FieldCondition(key="x", range=models.Range(gte=2))])))])
    assert client.count("kinds", count_filter=nested).count == 1


def bulk_and_batch():
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(3000, 32)).astype(np.float32)
    client.create_collection("bulk", vectors_config=models.VectorParams(size=32, distance=models.Distance.EUCLID))
    client.upload_collection("bulk", vectors=vectors, payload=({"n": i} for i in range(3000)), ids=range(3000), parallel=2, wait=True)
    assert client.count("bulk").count == 3000
    answers = client.query_batch_points("bulk", requests=[models.QueryRequest(query=vectors[i].tolist(), limit=5) for i in range(20)])
    for i, answer in enumerate(answers):
        exact = np.argsort(((vectors - vectors[i]) ** 2).sum(axis=1))[:5]
        assert [p.id for p in answer.points] == exact.tolist(), i
    client.batch_update_points("bulk", update_operations=[
        models.DeleteOperation(delete=models.PointIdsList(points=[0])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"n": -1}, points=[1])),
    ])
    assert client.count("bulk").count == 2999
    everything, following = client.scroll("bulk", limit=999_999_999, with_vectors=True)
    assert len(everything) == 2999 and following is None


def the_rest():
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="bulk", alias_name="current"))])
    assert client.count("current").count == 2999 and client.get_aliases().aliases[0].alias_name == "current"
    client.update_collection("bulk", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=20000))
    snapshot = client.create_snapshot("bulk")
    assert [s.name for s in client.list_snapshots("bulk")] == [snapshot.name]
    client.delete_snapshot("bulk", snapshot.name)
    text = expect_status(404, client.get_collection, "nowhere")
    assert "Not found: Collection `nowhere` doesn't exist!" in text, text
    text = expect_status(400, client.upsert, "bulk", [models.PointStruct(id=1, vector=[1.0, 2.0])])
    assert "Wrong input: Vector dimension error: expected dim: 32, got 2" in text, text
    for name in ("cities", "kinds", "bulk"):
        assert client.delete_collection(name)
    assert client.get_collections().collections == []


if __name__ == "__main__":  # uploads in parallel start processes that read this file
    quickstart()
    payloads_and_indexes()
    every_kind_of_vector()
    bulk_and_batch()
    the_rest()
    print("python client: ok")
