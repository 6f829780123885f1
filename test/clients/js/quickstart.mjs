// The quickstart that a JavaScript user writes, unchanged, against the server at argv[2]. Throws at the first surprise.
import assert from 'node:assert/strict';
import {QdrantClient} from '@qdrant/js-client-rest';

const client = new QdrantClient({url: process.argv[2]});

await client.createCollection('books', {vectors: {size: 4, distance: 'Dot'}});
assert.deepEqual((await client.collectionExists('books')).exists, true);
assert.deepEqual((await client.getCollections()).collections.map((c) => c.name), ['books']);

const written = await client.upsert('books', {
    wait: true,
    points: [
        {id: 1, vector: [0.05, 0.61, 0.76, 0.74], payload: {city: 'Berlin'}},
        {id: 2, vector: [0.19, 0.81, 0.75, 0.11], payload: {city: 'London'}},
        {id: 3, vector: [0.36, 0.55, 0.47, 0.94], payload: {city: 'Moscow', count: 7}},
        {id: '550e8400-e29b-41d4-a716-446655440000', vector: [0.18, 0.01, 0.85, 0.8], payload: {city: ['New York', 'Rome']}},
    ],
});
assert.equal(written.status, 'completed');

const nearest = await client.query('books', {query: [0.2, 0.1, 0.9, 0.7], limit: 2, with_payload: true});
assert.deepEqual(nearest.points.map((p) => p.id), ['550e8400-e29b-41d4-a716-446655440000', 1]);
assert.deepEqual(nearest.points[0].payload, {city: ['New York', 'Rome']});

const filtered = await client.query('books', {
    query: [0.2, 0.1, 0.9, 0.7],
    filter: {must: [{key: 'city', match: {value: 'London'}}]},
    with_vector: true,
});
assert.equal(filtered.points.length, 1);
assert.equal(filtered.points[0].vector.length, 4);

// The older search endpoints, which this client still calls.
const hits = await client.search('books', {vector: [0.2, 0.1, 0.9, 0.7], limit: 2});
assert.deepEqual(hits.map((h) => h.id), ['550e8400-e29b-41d4-a716-446655440000', 1]);
const batch = await client.searchBatch('books', {searches: [{vector: [1, 0, 0, 0], limit: 1}, {vector: [0, 1, 0, 0], limit: 1}]});
assert.deepEqual(batch.map((list) => list[0].id), [3, 2]);

const page = await client.scroll('books', {limit: 2});
assert.deepEqual(page.points.map((p) => p.id), [1, 2]);
assert.equal(page.next_page_offset, 3);

await client.createPayloadIndex('books', {field_name: 'city', field_schema: 'keyword', wait: true});
assert.equal((await client.getCollection('books')).payload_schema.city.data_type, 'keyword');
await client.setPayload('books', {payload: {read: true}, points: [1], wait: true});
assert.deepEqual((await client.retrieve('books', {ids: [1]}))[0].payload, {city: 'Berlin', read: true});

await client.delete('books', {wait: true, points: [1]});
await client.delete('books', {wait: true, filter: {must: [{key: 'count', range: {gte: 7}}]}});
assert.equal((await client.count('books')).count, 2);

await assert.rejects(client.getCollection('nowhere'), (e) => e.status === 404);
assert.equal(await client.deleteCollection('books'), true);
console.log('javascript client: ok');
