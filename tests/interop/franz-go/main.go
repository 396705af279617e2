// franz-go: the Go client that speaks every request at its newest version.
// Prints `PASS name` or `FAIL name :: reason` for each check; names given on the command line choose among them.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	bootstrap  = "127.0.0.1:9092"
	admin      *kadm.Client
	background = context.Background()
)

type check struct {
	name string
	run  func()
}

func fresh(name string) string {
	var random [6]byte
	rand.Read(random[:])
	return fmt.Sprintf("%s-%x", name, random)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(actual, expected any, what string) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Errorf("%s: got %v, expected %v", what, actual, expected))
	}
}

func isError(actual error, expected error) {
	if !errors.Is(actual, expected) {
		panic(fmt.Errorf("got %v, expected %v", actual, expected))
	}
}

func within(seconds int) context.Context {
	ctx, cancel := context.WithTimeout(background, time.Duration(seconds)*time.Second)
	time.AfterFunc(time.Duration(seconds)*time.Second, cancel)
	return ctx
}

func until(what string, condition func() bool) {
	end := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(end) {
			panic(fmt.Errorf("%s: not reached in 30 s", what))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.FetchMaxWait(500 * time.Millisecond)}, options...)...)
	must(err)
	return made
}

func topic(partitions int32, configs map[string]string) string {
	name := fresh("franz")
	settings := map[string]*string{}
	for key, value := range configs {
		settings[key] = &value
	}
	_, err := admin.CreateTopic(within(20), partitions, 1, settings, name)
	must(err)
	return name
}

func produce(name string, values []string, options ...kgo.Opt) kgo.ProduceResults {
	producer := client(append(options, kgo.DefaultProduceTopic(name))...)
	defer producer.Close()
	var records []*kgo.Record
	for _, value := range values {
		records = append(records, kgo.StringRecord(value))
	}
	results := producer.ProduceSync(within(30), records...)
	must(results.FirstErr())
	return results
}

func numbers(count int) []string {
	var values []string
	for i := range count {
		values = append(values, fmt.Sprint(i))
	}
	return values
}

func poll(from *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	ctx := within(30)
	for len(records) < count {
		fetches := from.PollFetches(ctx)
		if ctx.Err() != nil {
			panic(fmt.Errorf("got %d of %d records in 30 s", len(records), count))
		}
		fetches.EachError(func(_ string, _ int32, err error) { must(err) })
		records = append(records, fetches.Records()...)
	}
	return records
}

func read(name string, count int, options ...kgo.Opt) []*kgo.Record {
	from := client(append(options, kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer from.Close()
	return poll(from, count)
}

func values(records []*kgo.Record) []string {
	var all []string
	for _, record := range records {
		all = append(all, string(record.Value))
	}
	return all
}

func codec(kind kgo.CompressionCodec) func() {
	return func() {
		name := topic(1, nil)
		var sent []string
		for i := range 300 {
			sent = append(sent, strings.Repeat(fmt.Sprintf("%d ", i), 30))
		}
		produce(name, sent, kgo.ProducerBatchCompression(kind), kgo.ProducerLinger(20*time.Millisecond))
		equal(values(read(name, 300)), sent, "values")
	}
}

func acks() {
	name := topic(1, nil)
	produce(name, []string{"none"}, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	produce(name, []string{"leader"}, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	produce(name, []string{"all"})
	equal(values(read(name, 3)), []string{"none", "leader", "all"}, "values")
}

func headers() {
	name := topic(1, nil)
	producer := client()
	defer producer.Close()
	sent := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "null", Value: nil}}
	must(producer.ProduceSync(within(20), &kgo.Record{Topic: name, Value: []byte("v"), Headers: sent}).FirstErr())
	equal(read(name, 1)[0].Headers, sent, "headers")
}

func nulls() {
	name := topic(1, nil)
	producer := client()
	defer producer.Close()
	must(producer.ProduceSync(within(20), &kgo.Record{Topic: name}, &kgo.Record{Topic: name, Key: []byte{}, Value: []byte{}}).FirstErr())
	got := read(name, 2)
	equal([]bool{got[0].Key == nil, got[0].Value == nil, got[1].Key == nil, got[1].Value == nil}, []bool{true, true, false, false}, "null or not")
}

func timestamps() {
	name := topic(1, nil)
	producer := client()
	defer producer.Close()
	at := time.UnixMilli(1_600_000_000_123)
	must(producer.ProduceSync(within(20), &kgo.Record{Topic: name, Timestamp: at}).FirstErr())
	record := read(name, 1)[0]
	equal(record.Timestamp.UnixMilli(), at.UnixMilli(), "timestamp")
	equal(record.Attrs.TimestampType(), int8(0), "type")
}

func appendTime() {
	name := topic(1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().Add(-time.Second)
	produce(name, []string{"v"})
	record := read(name, 1)[0]
	equal(record.Timestamp.After(before), true, "time of the append")
	equal(record.Attrs.TimestampType(), int8(1), "type")
}

func idempotent() {
	name := topic(1, nil)
	var expected []int64
	for i := range 3000 {
		expected = append(expected, int64(i))
	}
	var offsets []int64
	for _, result := range produce(name, numbers(3000), kgo.ProducerBatchMaxBytes(2000)) {
		offsets = append(offsets, result.Record.Offset)
	}
	equal(offsets, expected, "offsets")
	equal(values(read(name, 3000)), numbers(3000), "values")
}

func leaderEpoch() {
	name := topic(1, nil)
	produce(name, []string{"v"})
	equal(read(name, 1)[0].LeaderEpoch, int32(0), "leader epoch")
}

func groupCommits() {
	name, group := topic(1, nil), fresh("group")
	produce(name, numbers(10))
	options := []kgo.Opt{kgo.ConsumeTopics(name), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	first := client(options...)
	got := poll(first, 10)
	must(first.CommitRecords(within(20), got[:4]...))
	first.Close()
	second := client(options...)
	defer second.Close()
	equal(values(poll(second, 6)), numbers(10)[4:], "resumed at")
}

func groupMembers(balancer kgo.GroupBalancer) func() {
	return func() {
		name, group := topic(4, nil), fresh("group")
		options := []kgo.Opt{kgo.ConsumeTopics(name), kgo.ConsumerGroup(group), kgo.Balancers(balancer), kgo.HeartbeatInterval(200 * time.Millisecond)}
		first, second := client(options...), client(options...)
		defer first.Close()
		shared := func() bool {
			described, err := admin.DescribeGroups(within(20), group)
			must(err)
			one := described[group]
			if one.State != "Stable" || len(one.Members) != 2 {
				return false
			}
			for _, member := range one.Members {
				assigned, ok := member.Assigned.AsConsumer()
				if !ok || len(assigned.Topics) != 1 || len(assigned.Topics[0].Partitions) != 2 {
					return false
				}
			}
			return true
		}
		until("two partitions each", shared)
		second.Close()
		until("one member with all", func() bool {
			described, err := admin.DescribeGroups(within(20), group)
			must(err)
			members := described[group].Members
			if len(members) != 1 || described[group].State != "Stable" {
				return false
			}
			assigned, _ := members[0].Assigned.AsConsumer()
			return len(assigned.Topics) == 1 && len(assigned.Topics[0].Partitions) == 4
		})
	}
}

func staticMember() {
	name, group := topic(2, nil), fresh("group")
	options := []kgo.Opt{kgo.ConsumeTopics(name), kgo.ConsumerGroup(group), kgo.InstanceID("one"), kgo.SessionTimeout(10 * time.Second)}
	member := func() (string, string) {
		described, err := admin.DescribeGroups(within(20), group)
		must(err)
		for _, one := range described[group].Members {
			if described[group].State == "Stable" {
				return one.MemberID, *one.InstanceID
			}
		}
		return "", ""
	}
	first := client(options...)
	until("stable", func() bool { id, _ := member(); return id != "" })
	before, instance := member()
	equal(instance, "one", "instance")
	first.Close() // a static member does not leave
	second := client(options...)
	defer second.Close()
	until("a new id for the same instance", func() bool { id, _ := member(); return id != "" && id != before })
}

func seekAndOffsets() {
	name := topic(1, nil)
	produce(name, numbers(20))
	from := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: {0: kgo.NewOffset().At(15)}}))
	defer from.Close()
	equal(values(poll(from, 5)), numbers(20)[15:], "from offset 15")
	from.SetOffsets(map[string]map[int32]kgo.EpochOffset{name: {0: {Epoch: 0, Offset: 18}}})
	equal(values(poll(from, 2)), numbers(20)[18:], "from offset 18")
}

func listOffsets() {
	name := topic(1, nil)
	producer := client()
	defer producer.Close()
	for _, at := range []int64{1000, 9000, 5000} {
		must(producer.ProduceSync(within(20), &kgo.Record{Topic: name, Timestamp: time.UnixMilli(1_600_000_000_000 + at)}).FirstErr())
	}
	start, err := admin.ListStartOffsets(within(20), name)
	must(err)
	end, err := admin.ListEndOffsets(within(20), name)
	must(err)
	most, err := admin.ListMaxTimestampOffsets(within(20), name)
	must(err)
	after, err := admin.ListOffsetsAfterMilli(within(20), 1_600_000_004_000, name)
	must(err)
	at := func(offsets kadm.ListedOffsets) int64 { found, _ := offsets.Lookup(name, 0); return found.Offset }
	equal([]int64{at(start), at(end), at(most), at(after)}, []int64{0, 3, 1, 1}, "start, end, most, after")
}

func outOfRange() {
	name := topic(1, nil)
	produce(name, numbers(3))
	request := kmsg.NewPtrFetchRequest()
	request.MinBytes, request.MaxBytes, request.MaxWaitMillis = 1, 1<<20, 100
	one := kmsg.NewFetchRequestTopic()
	one.Topic = name
	described, err := admin.ListTopics(within(20), name)
	must(err)
	one.TopicID = described[name].ID
	part := kmsg.NewFetchRequestTopicPartition()
	part.FetchOffset, part.PartitionMaxBytes = 99, 1<<20
	one.Partitions = append(one.Partitions, part)
	request.Topics = append(request.Topics, one)
	raw := client()
	defer raw.Close()
	answer, err := request.RequestWith(within(20), raw)
	must(err)
	got := answer.Topics[0].Partitions[0]
	isError(kerr.ErrorForCode(got.ErrorCode), kerr.OffsetOutOfRange)
}

func transactions() {
	name := topic(2, nil)
	producer := client(kgo.TransactionalID(fresh("txn")), kgo.DefaultProduceTopic(name))
	defer producer.Close()
	for i := range 6 {
		must(producer.BeginTransaction())
		must(producer.ProduceSync(within(20), kgo.StringRecord(fmt.Sprint(i))).FirstErr())
		must(producer.EndTransaction(within(20), kgo.TransactionEndTry(i%2 == 0)))
	}
	committed := values(read(name, 3, kgo.FetchIsolationLevel(kgo.ReadCommitted())))
	slices.Sort(committed)
	equal(committed, []string{"0", "2", "4"}, "committed")
	all := values(read(name, 6, kgo.FetchIsolationLevel(kgo.ReadUncommitted())))
	equal(len(all), 6, "all")
}

func exactlyOnce() {
	source, sink, group := topic(1, nil), topic(1, nil), fresh("group")
	produce(source, numbers(100))
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(bootstrap), kgo.TransactionalID(fresh("txn")), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(source), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DefaultProduceTopic(sink),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets())
	must(err)
	defer session.Close()
	moved := 0
	for moved < 100 {
		fetches := session.PollFetches(within(30))
		must(fetches.Err())
		must(session.Begin())
		for _, record := range fetches.Records() {
			session.Produce(background, kgo.StringRecord(string(record.Value)), nil)
		}
		committed, err := session.End(within(30), kgo.TryCommit)
		must(err)
		equal(committed, true, "committed")
		moved += len(fetches.Records())
	}
	equal(values(read(sink, 100, kgo.FetchIsolationLevel(kgo.ReadCommitted()))), numbers(100), "moved")
	offsets, err := admin.FetchOffsets(within(20), group)
	must(err)
	found, _ := offsets.Lookup(source, 0)
	equal(found.At, int64(100), "group offset")
}

func fenced() {
	name, ident := topic(1, nil), fresh("txn")
	old, now := client(kgo.TransactionalID(ident), kgo.DefaultProduceTopic(name)), client(kgo.TransactionalID(ident), kgo.DefaultProduceTopic(name))
	defer old.Close()
	defer now.Close()
	must(old.BeginTransaction())
	must(old.ProduceSync(within(20), kgo.StringRecord("old")).FirstErr())
	must(now.BeginTransaction())
	must(now.ProduceSync(within(20), kgo.StringRecord("new")).FirstErr())
	if err := old.EndTransaction(within(20), kgo.TryCommit); err == nil {
		panic(errors.New("the old producer could commit"))
	}
	must(now.EndTransaction(within(20), kgo.TryCommit))
	equal(values(read(name, 1, kgo.FetchIsolationLevel(kgo.ReadCommitted()))), []string{"new"}, "committed")
}

func describeTransactions() {
	name, ident := topic(1, nil), fresh("txn")
	producer := client(kgo.TransactionalID(ident), kgo.DefaultProduceTopic(name))
	defer producer.Close()
	must(producer.BeginTransaction())
	must(producer.ProduceSync(within(20), kgo.StringRecord("open")).FirstErr())
	described, err := admin.DescribeTransactions(within(20), ident)
	must(err)
	equal(described[ident].State, "Ongoing", "state")
	listed, err := admin.ListTransactions(within(20), nil, []string{"Ongoing"})
	must(err)
	equal(listed[ident].TxnID, ident, "listed")
	producers, err := admin.DescribeProducers(within(20), kadm.TopicsSet{name: {0: {}}})
	must(err)
	equal(len(producers.SortedProducers()), 1, "producers")
	must(producer.EndTransaction(within(20), kgo.TryCommit))
}

func topicLifecycle() {
	name := topic(3, map[string]string{"retention.ms": "1234567"})
	described, err := admin.ListTopics(within(20), name)
	must(err)
	equal(len(described[name].Partitions), 3, "partitions")
	configs, err := admin.DescribeTopicConfigs(within(20), name)
	must(err)
	for _, one := range configs[0].Configs {
		if one.Key == "retention.ms" {
			equal(one.MaybeValue(), "1234567", one.Key)
			equal(one.Source.String(), "DYNAMIC_TOPIC_CONFIG", "source")
		}
	}
	_, err = admin.DeleteTopic(within(20), name)
	must(err)
	until("topic gone", func() bool {
		listed, err := admin.ListTopics(within(20))
		must(err)
		return !listed.Has(name)
	})
}

func refusals() {
	name := topic(1, nil)
	_, err := admin.CreateTopic(within(20), 1, 1, nil, name)
	isError(err, kerr.TopicAlreadyExists)
	_, err = admin.CreateTopic(within(20), 1, 1, nil, "no/slash")
	isError(err, kerr.InvalidTopicException)
	_, err = admin.CreateTopic(within(20), 1, 5, nil, fresh("rf"))
	isError(err, kerr.InvalidReplicationFactor)
	_, err = admin.CreateTopic(within(20), 0, 1, nil, fresh("none"))
	isError(err, kerr.InvalidPartitions)
	bad := "abc"
	_, err = admin.CreateTopic(within(20), 1, 1, map[string]*string{"retention.ms": &bad}, fresh("config"))
	isError(err, kerr.InvalidConfig)
	_, err = admin.DeleteTopic(within(20), fresh("unknown"))
	isError(err, kerr.UnknownTopicOrPartition)
}

func recreated() {
	name := topic(1, nil)
	produce(name, []string{"old"})
	before, err := admin.ListTopics(within(20), name)
	must(err)
	_, err = admin.DeleteTopic(within(20), name)
	must(err)
	until("made again", func() bool {
		_, err := admin.CreateTopic(within(20), 1, 1, nil, name)
		return err == nil
	})
	other := client() // admin would answer from what it cached
	defer other.Close()
	after, err := kadm.NewClient(other).ListTopics(within(20), name)
	must(err)
	equal(before[name].ID == after[name].ID, false, "the same id")
	produce(name, []string{"new"})
	equal(values(read(name, 1)), []string{"new"}, "values")
}

func alterConfigs() {
	name := topic(1, nil)
	limit := "2048"
	answers, err := admin.AlterTopicConfigs(within(20), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, name)
	must(err)
	must(answers[0].Err)
	producer := client(kgo.DefaultProduceTopic(name))
	defer producer.Close()
	random := make([]byte, 5000)
	rand.Read(random)
	isError(producer.ProduceSync(within(20), kgo.SliceRecord(random)).FirstErr(), kerr.MessageTooLarge)
	answers, err = admin.AlterTopicConfigs(within(20), []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "max.message.bytes"}}, name)
	must(err)
	must(answers[0].Err)
	must(producer.ProduceSync(within(20), kgo.SliceRecord(random)).FirstErr())
}

func createPartitions() {
	name := topic(1, nil)
	answers, err := admin.UpdatePartitions(within(20), 4, name)
	must(err)
	must(answers.Error())
	answers, err = admin.UpdatePartitions(within(20), 2, name)
	must(err)
	isError(answers[name].Err, kerr.InvalidPartitions)
}

func deleteRecords() {
	name := topic(1, nil)
	produce(name, numbers(10))
	offsets := kadm.Offsets{}
	offsets.AddOffset(name, 0, 6, -1)
	answers, err := admin.DeleteRecords(within(20), offsets)
	must(err)
	got, _ := answers.Lookup(name, 0)
	equal(got.LowWatermark, int64(6), "low watermark")
	equal(values(read(name, 4)), numbers(10)[6:], "left")
	offsets.AddOffset(name, 0, 99, -1)
	answers, err = admin.DeleteRecords(within(20), offsets)
	must(err)
	got, _ = answers.Lookup(name, 0)
	isError(got.Err, kerr.OffsetOutOfRange)
}

func groupAdmin() {
	name, group := topic(1, nil), fresh("group")
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: name, Partition: 0, At: 0, LeaderEpoch: -1, Metadata: "by admin"})
	committed, err := admin.CommitOffsets(within(20), group, offsets)
	must(err)
	must(committed.Error())
	fetched, err := admin.FetchOffsets(within(20), group)
	must(err)
	found, _ := fetched.Lookup(name, 0)
	equal(found.Metadata, "by admin", "metadata")
	lags, err := admin.Lag(within(20), group)
	must(err)
	equal(lags[group].State, "Empty", "state")
	listed, err := admin.ListGroups(within(20), "Empty")
	must(err)
	_, has := listed[group]
	equal(has, true, "listed by its state")
	deleted, err := admin.DeleteOffsets(within(20), group, kadm.TopicsSet{name: {0: {}}})
	must(err)
	must(deleted.Error())
	_, err = admin.DeleteGroup(within(20), group)
	must(err)
	_, err = admin.DeleteGroup(within(20), group)
	isError(err, kerr.GroupIDNotFound)
}

func cluster() {
	described, err := admin.BrokerMetadata(within(20))
	must(err)
	equal(len(described.Brokers), 1, "brokers")
	versions, err := admin.ApiVersions(within(20))
	must(err)
	for _, one := range versions {
		must(one.Err)
		least, most, has := one.KeyVersions(1)
		equal([]any{least, most, has}, []any{int16(4), int16(18), true}, "Fetch versions")
	}
	dirs, err := admin.DescribeAllLogDirs(within(20), nil)
	must(err)
	for _, one := range dirs {
		must(one.Error())
	}
}

func leaderEpochs() {
	name := topic(1, nil)
	produce(name, numbers(5))
	asked := kadm.OffsetForLeaderEpochRequest{}
	asked.Add(name, 0, 0)
	answers, err := admin.OffsetForLeaderEpoch(within(20), asked)
	must(err)
	got := answers[name][0]
	must(got.Err)
	equal([]any{got.LeaderEpoch, got.EndOffset}, []any{int32(0), int64(5)}, "epoch and end")
}

func elections() {
	name := topic(1, nil)
	answers, err := admin.ElectLeaders(within(20), kadm.ElectPreferredReplica, kadm.TopicsSet{name: {0: {}}})
	must(err)
	isError(answers[name][0].Err, kerr.ElectionNotNeeded)
}

func compacted() {
	name := topic(1, map[string]string{"cleanup.policy": "compact"})
	producer := client(kgo.DefaultProduceTopic(name))
	defer producer.Close()
	isError(producer.ProduceSync(within(20), kgo.StringRecord("no key")).FirstErr(), kerr.InvalidRecord)
	must(producer.ProduceSync(within(20), kgo.KeyStringRecord("key", "value")).FirstErr())
}

func large() {
	name := topic(1, map[string]string{"max.message.bytes": "5000000"})
	random := make([]byte, 3_000_000)
	rand.Read(random)
	producer := client(kgo.DefaultProduceTopic(name), kgo.ProducerBatchMaxBytes(5_000_000))
	defer producer.Close()
	must(producer.ProduceSync(within(20), kgo.SliceRecord(random)).FirstErr())
	got := read(name, 1, kgo.FetchMaxPartitionBytes(100_000))
	equal(bytes.Equal(got[0].Value, random), true, "the same bytes")
}

func autoCreate() {
	name := fresh("auto")
	produce(name, []string{"first"}, kgo.AllowAutoTopicCreation())
	equal(values(read(name, 1)), []string{"first"}, "values")
}

func regex() {
	prefix := fresh("pattern")
	for _, name := range []string{prefix + "-a", prefix + "-b"} {
		_, err := admin.CreateTopic(within(20), 1, 1, nil, name)
		must(err)
		produce(name, []string{name})
	}
	got := values(read("^"+prefix+"-.*", 2, kgo.ConsumeRegex()))
	slices.Sort(got)
	equal(got, []string{prefix + "-a", prefix + "-b"}, "values")
}

func main() {
	if given := os.Getenv("BOOTSTRAP"); given != "" {
		bootstrap = given
	}
	admin = kadm.NewClient(client())
	checks := []check{
		{"codec_none", codec(kgo.NoCompression())}, {"codec_gzip", codec(kgo.GzipCompression())},
		{"codec_snappy", codec(kgo.SnappyCompression())}, {"codec_lz4", codec(kgo.Lz4Compression())},
		{"codec_zstd", codec(kgo.ZstdCompression())},
		{"acks_none_leader_all", acks}, {"headers_round_trip", headers}, {"null_and_empty_differ", nulls},
		{"create_time_is_kept", timestamps}, {"log_append_time_is_set", appendTime},
		{"idempotent_producer_five_in_flight", idempotent}, {"leader_epoch_of_a_record", leaderEpoch},
		{"auto_created_topic", autoCreate}, {"large_record", large}, {"pattern_subscription", regex},
		{"group_commits_and_resumes", groupCommits},
		{"range_group_rebalances", groupMembers(kgo.RangeBalancer())},
		{"cooperative_group_rebalances", groupMembers(kgo.CooperativeStickyBalancer())},
		{"static_member_returns", staticMember},
		{"seek_and_set_offsets", seekAndOffsets}, {"list_offsets_of_each_kind", listOffsets},
		{"fetch_out_of_range", outOfRange}, {"offset_for_leader_epoch", leaderEpochs},
		{"transactions_commit_and_abort", transactions}, {"exactly_once_session", exactlyOnce},
		{"zombie_is_fenced", fenced}, {"transactions_are_described", describeTransactions},
		{"topic_lifecycle", topicLifecycle}, {"refusals_have_their_codes", refusals},
		{"recreated_topic_is_another", recreated}, {"incremental_alter_configs", alterConfigs},
		{"create_partitions", createPartitions}, {"delete_records", deleteRecords},
		{"group_admin", groupAdmin}, {"cluster_versions_and_dirs", cluster},
		{"preferred_election_not_needed", elections}, {"compacted_topic_wants_keys", compacted},
	}
	failed := 0
	for _, one := range checks {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], one.name) {
			continue
		}
		if reason := attempt(one.run); reason != nil {
			failed++
			text := strings.ReplaceAll(fmt.Sprint(reason), "\n", " ")
			fmt.Printf("FAIL %s :: %s\n", one.name, text[:min(len(text), 300)])
		} else {
			fmt.Printf("PASS %s\n", one.name)
		}
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func attempt(run func()) (reason any) {
	defer func() { reason = recover() }()
	run()
	return nil
}
