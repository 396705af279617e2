// The load of client/examples/load.rs by librdkafka: librdkafka HOST:PORT push|send|consume TOPIC RECORDS SIZE [KEY=VALUE]...
// `push` sends without delivery reports, `send` has one callback a record, `consume` reads partition by partition through
// one queue, a thousand messages a call. Built and run by clients.sh.
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { VALUES = 2048, WORDS = 64, WORD = 8, CHUNK = 1000 };

static size_t delivered, failed;

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
  (void)client, (void)opaque;
  if (message->err) failed++;
  else delivered++;
}

static void die(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
  char why[512];
  if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(key, why);
}

static uint32_t seed = 1;

static uint32_t next(uint32_t below) {
  seed = seed * 1103515245u + 12345u;
  return (seed >> 16) % below;
}

static char **values(size_t size) {
  static char words[WORDS][WORD];
  static char *all[VALUES];
  for (int word = 0; word < WORDS; word++)
    for (int at = 0; at < WORD; at++) words[word][at] = (char)('a' + next(26));
  for (int index = 0; index < VALUES; index++) {
    all[index] = malloc(size + WORD);
    for (size_t at = 0; at < size; at += WORD) memcpy(all[index] + at, words[next(WORDS)], WORD);
  }
  return all;
}

static void produce(rd_kafka_t *client, const char *name, size_t records, size_t size, int reports) {
  rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
  char **all = values(size);
  for (size_t index = 0; index < records; index++) {
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, all[index % VALUES], size, NULL, 0, NULL)) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die("produce", rd_kafka_err2str(rd_kafka_last_error()));
      rd_kafka_poll(client, 10);
    }
    if (reports && index % CHUNK == 0) rd_kafka_poll(client, 0);
  }
  if (rd_kafka_flush(client, 60000)) die("flush", "timed out");
  if (reports && (failed || delivered != records)) die("delivery", "records are missing");
  rd_kafka_topic_destroy(topic);
}

static size_t consume(rd_kafka_t *client, const char *name, size_t records) {
  const struct rd_kafka_metadata *metadata;
  rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
  rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
  rd_kafka_message_t *batch[CHUNK];
  size_t read = 0, bytes = 0;
  if (rd_kafka_metadata(client, 0, topic, &metadata, 10000)) die("metadata", "no answer");
  for (int at = 0; at < metadata->topics[0].partition_cnt; at++)
    rd_kafka_consume_start_queue(topic, at, RD_KAFKA_OFFSET_BEGINNING, queue);
  while (read < records) {
    ssize_t count = rd_kafka_consume_batch_queue(queue, 1000, batch, CHUNK);
    for (ssize_t at = 0; at < count; at++) {
      if (!batch[at]->err) read++, bytes += batch[at]->len;
      rd_kafka_message_destroy(batch[at]);
    }
  }
  for (int at = 0; at < metadata->topics[0].partition_cnt; at++) rd_kafka_consume_stop(topic, at);
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_queue_destroy(queue);
  rd_kafka_topic_destroy(topic);
  return bytes;
}

int main(int count, char **args) {
  char why[512];
  if (count < 6) die("usage", "librdkafka HOST:PORT push|send|consume TOPIC RECORDS SIZE [KEY=VALUE]...");
  const char *mode = args[2];
  size_t records = strtoul(args[4], NULL, 10), size = strtoul(args[5], NULL, 10);
  int consumes = !strcmp(mode, "consume"), reports = !strcmp(mode, "send");
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", args[1]);
  for (int at = 6; at < count; at++) {
    char *value = strchr(args[at], '=');
    if (!value) die("setting", args[at]);
    *value = 0;
    set(conf, args[at], value + 1);
  }
  if (reports) rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_t *client = rd_kafka_new(consumes ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (!client) die("client", why);
  if (consumes) consume(client, args[3], records);
  else produce(client, args[3], records, size, reports);
  rd_kafka_destroy(client);
  clock_gettime(CLOCK_MONOTONIC, &to);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  double elapsed = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
  printf("%s %zu records: %.3f s, CPU %.3f s per million, peak %.1f MB\n", mode, records, elapsed, cpu / ((double)records / 1e6),
         (double)used.ru_maxrss * 1024 / 1e6);
  return 0;
}
