// kafkajs: the client of most Node services. Its protocol is its own, old versions of many requests included.
// Prints `PASS name` or `FAIL name :: reason` for each check.
import { randomBytes, randomUUID } from 'node:crypto'
import kafkajs from 'kafkajs'
import SnappyCodec from 'kafkajs-snappy'

const { Kafka, logLevel, CompressionTypes, CompressionCodecs, ConfigResourceTypes, Partitioners } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec

const kafka = new Kafka({
  brokers: [process.env.BOOTSTRAP ?? '127.0.0.1:9092'],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, retries: 6 },
})
const admin = kafka.admin()
const checks = []
const check = (name, run) => checks.push({ name, run })
const fresh = (name) => `${name}-${randomUUID().slice(0, 13)}`

function equal(actual, expected, what = 'value') {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what}: got ${left}, expected ${right}`)
}

async function until(condition, what, seconds = 30) {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > end) throw new Error(`${what}: not reached in ${seconds} s`)
    await new Promise((wake) => setTimeout(wake, 50))
  }
}

async function topic(numPartitions = 1, configEntries = []) {
  const name = fresh('js')
  await admin.createTopics({ topics: [{ topic: name, numPartitions, replicationFactor: 1, configEntries }] })
  return name
}

async function withProducer(options, use) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options })
  await producer.connect()
  try {
    return await use(producer)
  } finally {
    await producer.disconnect()
  }
}

const send = (name, messages, options = {}, producer = {}) =>
  withProducer(producer, (p) => p.send({ topic: name, messages, ...options }))

// Runs a consumer until `count` records came, then hands back the records; `also` sees the consumer while it runs.
async function read(name, count, options = {}, also = async () => {}) {
  const { fromBeginning = true, run = {}, then = async () => {}, ...settings } = options
  const consumer = kafka.consumer({ groupId: fresh('group'), maxWaitTimeInMs: 200, ...settings })
  const records = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topic: name, fromBeginning })
    await consumer.run({ ...run, eachMessage: async ({ partition, message }) => void records.push({ partition, ...message }) })
    await also(consumer)
    await until(() => records.length >= count, `${count} records`)
    await then(consumer)
  } finally {
    await consumer.disconnect()
  }
  return records
}

const values = (records) => records.map((r) => (r.value === null ? null : r.value.toString()))

async function roundtrip(compression) {
  const name = await topic()
  const messages = Array.from({ length: 200 }, (_, i) => ({ value: `${i} `.repeat(30) }))
  await send(name, messages, { compression })
  equal(values(await read(name, 200)), messages.map((m) => m.value))
}

check('codec_none', () => roundtrip(CompressionTypes.None))
check('codec_gzip', () => roundtrip(CompressionTypes.GZIP))
check('codec_snappy', () => roundtrip(CompressionTypes.Snappy))

check('acks_zero_one_all', async () => {
  const name = await topic()
  for (const acks of [0, 1, -1]) await send(name, [{ value: `${acks}` }], { acks })
  equal(values(await read(name, 3)), ['0', '1', '-1'])
})

check('headers_round_trip', async () => {
  const name = await topic()
  await send(name, [{ value: 'v', headers: { one: '1', many: ['a', 'b'] } }])
  const [record] = await read(name, 1)
  equal([record.headers.one.toString(), record.headers.many.map(String)], ['1', ['a', 'b']])
})

check('null_value_is_a_tombstone', async () => {
  const name = await topic()
  await send(name, [{ key: 'k', value: null }, { key: null, value: '' }])
  equal(values(await read(name, 2)), [null, ''])
})

check('timestamps_are_kept', async () => {
  const name = await topic()
  await send(name, [{ value: 'v', timestamp: '1600000000123' }])
  equal((await read(name, 1))[0].timestamp, '1600000000123')
})

check('base_offset_is_answered', async () => {
  const name = await topic()
  await send(name, [{ value: 'a' }, { value: 'b' }])
  const [answer] = await send(name, [{ value: 'c' }])
  equal([answer.errorCode, answer.baseOffset], [0, '2'])
})

check('batch_to_several_topics', async () => {
  const [one, two] = [await topic(), await topic(2)]
  await withProducer({}, (p) =>
    p.sendBatch({ topicMessages: [{ topic: one, messages: [{ value: '1' }] }, { topic: two, messages: [{ value: '2', partition: 1 }] }] }))
  equal(values(await read(one, 1)), ['1'])
  equal((await read(two, 1))[0].partition, 1)
})

check('keys_choose_partitions_as_java_does', async () => {
  const name = await topic(8)
  await send(name, ['a', 'b', 'c', 'user-42'].map((key) => ({ key, value: key })))
  await send(name, ['a', 'b', 'c', 'user-42'].map((key) => ({ key, value: key })))
  const byKey = {}
  for (const r of await read(name, 8)) (byKey[r.key.toString()] ??= new Set()).add(r.partition)
  equal(Object.values(byKey).map((s) => s.size), [1, 1, 1, 1])
})

check('idempotent_producer', async () => {
  const name = await topic()
  await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async (p) => {
    for (let i = 0; i < 20; i++) await p.send({ topic: name, messages: [{ value: `${i}` }] })
  })
  equal(values(await read(name, 20)), Array.from({ length: 20 }, (_, i) => `${i}`))
})

check('group_commits_and_resumes', async () => {
  const [name, groupId] = [await topic(), fresh('group')]
  await send(name, Array.from({ length: 6 }, (_, i) => ({ value: `${i}` })))
  await read(name, 6, { groupId })
  await send(name, [{ value: 'next' }])
  equal(values(await read(name, 1, { groupId })), ['next'])
})

check('manual_commit_of_an_offset', async () => {
  const [name, groupId] = [await topic(), fresh('group')]
  await send(name, Array.from({ length: 6 }, (_, i) => ({ value: `${i}` })))
  const then = (consumer) => consumer.commitOffsets([{ topic: name, partition: 0, offset: '4', metadata: 'mine' }])
  await read(name, 6, { groupId, run: { autoCommit: false }, then })
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [name] })
  equal([partitions[0].offset, partitions[0].metadata], ['4', 'mine'])
  equal(values(await read(name, 2, { groupId })), ['4', '5'])
})

check('two_members_share_partitions', async () => {
  const [name, groupId] = [await topic(4), fresh('group')]
  const owned = new Map()
  const members = [0, 1].map((n) => {
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 200, rebalanceTimeout: 6000, sessionTimeout: 10000 })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => owned.set(n, payload.memberAssignment[name] ?? []))
    return consumer
  })
  try {
    for (const consumer of members) {
      await consumer.connect()
      await consumer.subscribe({ topic: name })
      await consumer.run({ eachMessage: async () => {} })
    }
    await until(() => owned.get(0)?.length === 2 && owned.get(1)?.length === 2, 'two partitions each')
    equal([...owned.get(0), ...owned.get(1)].sort(), [0, 1, 2, 3])
  } finally {
    await Promise.all(members.map((consumer) => consumer.disconnect()))
  }
})

check('seek_goes_back', async () => {
  const name = await topic()
  await send(name, Array.from({ length: 5 }, (_, i) => ({ value: `${i}` })))
  let again = 0
  const then = async (consumer) => {
    const fetched = new Promise((done) => consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      if (payload.firstOffset === '3') done((again = payload.batchSize))
    }))
    consumer.seek({ topic: name, partition: 0, offset: '3' })
    await fetched
  }
  await read(name, 5, { then })
  equal(again, 2, 'records from offset 3 on')
})

check('pattern_subscription', async () => {
  const prefix = fresh('pattern')
  await admin.createTopics({ topics: [{ topic: `${prefix}-a` }, { topic: `${prefix}-b` }] })
  await send(`${prefix}-a`, [{ value: 'a' }])
  await send(`${prefix}-b`, [{ value: 'b' }])
  equal(values(await read(new RegExp(`^${prefix}-.*`), 2)).sort(), ['a', 'b'])
})

check('offsets_by_timestamp', async () => {
  const name = await topic()
  await send(name, Array.from({ length: 10 }, (_, i) => ({ value: 'v', timestamp: `${1600000000000 + i * 1000}` })))
  equal((await admin.fetchTopicOffsetsByTimestamp(name, 1600000003500))[0].offset, '4')
})

check('topic_offsets', async () => {
  const name = await topic()
  await send(name, [{ value: 'a' }, { value: 'b' }])
  const [{ low, high, offset }] = await admin.fetchTopicOffsets(name)
  equal([low, high, offset], ['0', '2', '2'])
})

const transactional = () => ({ transactionalId: fresh('txn'), idempotent: true, maxInFlightRequests: 1 })

check('transaction_commits_and_aborts', async () => {
  const name = await topic()
  await withProducer(transactional(), async (p) => {
    const gone = await p.transaction()
    await gone.send({ topic: name, messages: [{ value: 'gone' }] })
    await gone.abort()
    const kept = await p.transaction()
    await kept.send({ topic: name, messages: [{ value: 'kept' }] })
    await kept.commit()
  })
  equal(values(await read(name, 1)), ['kept'])
  equal(values(await read(name, 2, { readUncommitted: true })), ['gone', 'kept'])
})

check('offsets_in_a_transaction', async () => {
  const [name, groupId] = [await topic(), fresh('group')]
  await send(name, [{ value: '1' }, { value: '2' }])
  await withProducer(transactional(), async (p) => {
    const txn = await p.transaction()
    await txn.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: name, partitions: [{ partition: 0, offset: '2' }] }] })
    await txn.commit()
  })
  equal((await admin.fetchOffsets({ groupId, topics: [name] }))[0].partitions[0].offset, '2')
})

check('create_describe_delete_topic', async () => {
  const name = await topic(3, [{ name: 'retention.ms', value: '1234567' }])
  const { topics } = await admin.fetchTopicMetadata({ topics: [name] })
  equal(topics[0].partitions.length, 3)
  const { resources } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name }] })
  equal(resources[0].configEntries.find((e) => e.configName === 'retention.ms').configValue, '1234567')
  await admin.deleteTopics({ topics: [name] })
  await until(async () => !(await admin.listTopics()).includes(name), 'topic gone')
})

check('topic_that_exists_is_refused', async () => {
  const name = await topic()
  equal(await admin.createTopics({ topics: [{ topic: name }] }), false)
})

check('alter_configs_takes_effect', async () => {
  const name = await topic()
  await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries: [{ name: 'max.message.bytes', value: '2048' }] }] })
  const error = await send(name, [{ value: randomBytes(5000) }]).catch((e) => e)
  equal(error.type, 'MESSAGE_TOO_LARGE')
})

check('create_partitions_grows', async () => {
  const name = await topic()
  await admin.createPartitions({ topicPartitions: [{ topic: name, count: 4 }] })
  // Metadata of the new partitions may arrive before their leader serves them, in Apache Kafka too.
  await until(async () => (await admin.fetchTopicOffsets(name).catch(() => [])).length === 4, '4 partitions')
})

check('delete_records_moves_the_start', async () => {
  const name = await topic()
  await send(name, Array.from({ length: 10 }, (_, i) => ({ value: `${i}` })))
  equal((await admin.fetchTopicOffsets(name))[0].low, '0') // this admin deletes only from topics that it has looked up
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '6' }] })
  equal((await admin.fetchTopicOffsets(name))[0].low, '6')
})

check('groups_are_listed_described_set_deleted', async () => {
  const [name, groupId] = [await topic(), fresh('group')]
  await send(name, [{ value: '1' }])
  const then = async () => {
    const { groups } = await admin.describeGroups([groupId])
    equal([groups[0].state, groups[0].members.length], ['Stable', 1])
  }
  await read(name, 1, { groupId, then })
  await until(async () => (await admin.describeGroups([groupId])).groups[0].state === 'Empty', 'empty')
  await admin.setOffsets({ groupId, topic: name, partitions: [{ partition: 0, offset: '0' }] })
  equal((await admin.fetchOffsets({ groupId, topics: [name] }))[0].partitions[0].offset, '0')
  equal((await admin.listGroups()).groups.some((g) => g.groupId === groupId), true)
  await admin.deleteGroups([groupId])
  equal((await admin.listGroups()).groups.some((g) => g.groupId === groupId), false)
})

check('cluster_is_described', async () => {
  const cluster = await admin.describeCluster()
  equal([cluster.brokers.length, cluster.controller, cluster.clusterId.length > 0], [1, cluster.brokers[0].nodeId, true])
})

check('auto_created_topic', async () => {
  const name = fresh('auto')
  await send(name, [{ value: 'first' }])
  equal(values(await read(name, 1)), ['first'])
})

check('large_record', async () => {
  const name = await topic(1, [{ name: 'max.message.bytes', value: '5000000' }])
  const value = randomBytes(3_000_000)
  await send(name, [{ value }])
  equal((await read(name, 1, { maxBytesPerPartition: 100_000 }))[0].value.equals(value), true)
})

await admin.connect()
const wanted = process.argv.slice(2)
let failed = 0
for (const { name, run } of checks) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  try {
    await run()
    console.log(`PASS ${name}`)
  } catch (error) {
    failed += 1
    if (process.env.TRACE) console.error(error)
    console.log(`FAIL ${name} :: ${`${error.name}: ${error.message}`.replaceAll('\n', ' ').slice(0, 300)}`)
  }
}
await admin.disconnect()
process.exit(failed ? 1 : 0)
