/* test_queue_traffic.c: producers and consumers at once: every message once, whole, and in the
 * order of its producer, through queues of all bounds and by all ways of putting and getting. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/chaos.h"
#include "support/crew.h"
#include "support/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>
#include <kin/queue.h>

#include "ipc/stream.h"

#define PRODUCERS_MOST 8

struct traffic {
    kin_queue *queue;
    struct ledger *ledger;
    unsigned producers, consumers;
    uint64_t messages; /* of each producer */
    size_t size_most;
    _Atomic unsigned producing;
    _Atomic uint64_t bytes_put, bytes_got;
};

/* Packed: of several that are got at once each lies where the last one ended. */
struct letter {
    uint64_t producer, number, size;
    unsigned char bytes[];
} __attribute__((packed));

static unsigned char pattern(const struct letter *letter, size_t i)
{
    return (unsigned char)(letter->number * 17 + letter->producer * 5 + i);
}

/* Mostly small ones; some on both sides of what lies in the stream itself; few large ones. */
static size_t choose_size(uint64_t *random, size_t most)
{
    uint64_t value = chaos_random(random), kind = value >> 40 & 63;
    size_t size = kind < 48 ? value % 100 : kind < 62 ? KIN__INLINE_MOST - 100 + value % 200 : value % 200000;
    return sizeof(struct letter) + (size < most ? size : size % (most + 1));
}

static void write_letter(struct letter *letter, uint64_t producer, uint64_t number, size_t size)
{
    *letter = (struct letter){producer, number, size};
    for (size_t i = 0; i < size - sizeof *letter; i++) letter->bytes[i] = pattern(letter, i);
}

enum { BATCH = 6 };

/* A batch of small letters; returns how many. */
static uint64_t produce_batch(struct traffic *traffic, unsigned index, uint64_t *random, uint64_t most)
{
    unsigned char bytes[BATCH][sizeof(struct letter) + 100] __attribute__((aligned(8)));
    kin_message messages[BATCH];
    uint64_t first = 0, count = 1 + chaos_random(random) % BATCH;
    if (count > most) count = most;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = ledger_issue(traffic->ledger, index);
        size_t size = sizeof(struct letter) +
                      chaos_random(random) % (traffic->size_most < 90 ? traffic->size_most : 90);
        if (i == 0) first = number;
        write_letter((struct letter *)bytes[i], index, number, size);
        messages[i] = (kin_message){bytes[i], size};
        traffic->bytes_put += size;
    }
    CHECK_RC(kin_queue_put_many(traffic->queue, messages, count, KIN_FOREVER), (long)count);
    for (uint64_t i = 0; i < count; i++) ledger_acknowledge(traffic->ledger, index, first + i);
    return count;
}

static void produce(struct traffic *traffic, unsigned index)
{
    uint64_t random = 1234567 + index;
    struct letter *letter = malloc(sizeof *letter + traffic->size_most);
    for (uint64_t n = 0; n < traffic->messages; n++) {
        if (n % 5 == 1) {
            n += produce_batch(traffic, index, &random, traffic->messages - n) - 1;
            continue;
        }
        uint64_t number = ledger_issue(traffic->ledger, index);
        size_t size = choose_size(&random, traffic->size_most);
        if (number % 3 == 0) {
            void *place = NULL;
            CHECK_OK(kin_queue_reserve(traffic->queue, &place, size));
            write_letter(place, index, number, size);
            CHECK_RC(kin_queue_commit(traffic->queue, place, KIN_FOREVER), 0);
        } else {
            write_letter(letter, index, number, size);
            CHECK_RC(kin_queue_put(traffic->queue, letter, size, KIN_FOREVER), 0);
        }
        ledger_acknowledge(traffic->ledger, index, number);
        traffic->bytes_put += size;
    }
    free(letter);
    if (--traffic->producing == 0) CHECK_OK(kin_queue_shutdown(traffic->queue, 0));
}

struct reader {
    struct traffic *traffic;
    struct letter *letter;
    uint64_t next[PRODUCERS_MOST]; /* what a producer's next number is at least */
};

static void read_letter(struct reader *reader, const struct letter *letter, size_t size)
{
    CHECK_EQ(letter->size, size);
    CHECK_LT(letter->producer, reader->traffic->producers);
    CHECK_GE(letter->number, reader->next[letter->producer]);
    reader->next[letter->producer] = letter->number + 1;
    for (size_t i = 0; i < size - sizeof *letter; i++)
        if (letter->bytes[i] != pattern(letter, i)) FAIL("byte %zu of %zu is wrong", i, size);
    ledger_see(reader->traffic->ledger, (unsigned)letter->producer, letter->number,
               reader->traffic->consumers == 1);
    reader->traffic->bytes_got += size;
}

static long consume_batch(struct reader *reader)
{
    kin_message messages[BATCH];
    size_t room = sizeof *reader->letter + 200;
    long count = kin_queue_get_many(
        reader->traffic->queue, messages, BATCH, reader->letter,
        reader->traffic->size_most < 200 ? sizeof *reader->letter + reader->traffic->size_most : room,
        KIN_FOREVER);
    for (long i = 0; i < count; i++) read_letter(reader, messages[i].data, messages[i].size);
    return count;
}

static void consume(struct traffic *traffic)
{
    struct reader reader = {.traffic = traffic, .letter = malloc(sizeof *reader.letter + traffic->size_most)};
    long size = 0;
    for (unsigned round = 0; size != KIN_ECLOSED; round++) {
        void *message = NULL;
        if (round % 4 == 0) {
            size = kin_queue_take(traffic->queue, &message, KIN_FOREVER);
            if (size >= 0) read_letter(&reader, message, (size_t)size);
            CHECK_OK(kin_queue_release(message));
        } else if (round % 4 == 2) {
            size = consume_batch(&reader);
        } else {
            size_t room = sizeof *reader.letter + (round % 4 == 1 ? 50 : traffic->size_most);
            size = kin_queue_get(traffic->queue, reader.letter, room, KIN_FOREVER);
            if (size >= 0) read_letter(&reader, reader.letter, (size_t)size);
        }
        if (size < 0 && size != KIN_ECLOSED) CHECK_RC(size, KIN_ETOOSMALL);
    }
    free(reader.letter);
}

static void take_part(void *context, unsigned index)
{
    struct traffic *traffic = context;
    if (index < traffic->producers)
        produce(traffic, index);
    else
        consume(traffic);
}

static void run_traffic(enum crew_kind kind, kin_queue_options bounds, unsigned producers, unsigned consumers,
                        uint64_t messages, size_t size_most)
{
    struct books books = books_open();
    struct traffic *traffic = test_shared(sizeof *traffic);
    messages = messages / producers / (test_sanitized() ? 10 : 1);
    traffic->ledger = ledger_open(producers, messages);
    traffic->producers = producers;
    traffic->producing = producers;
    traffic->consumers = consumers;
    traffic->messages = messages;
    traffic->size_most = size_most;
    CHECK_OK(kin_queue_open(&traffic->queue, &bounds));
    double start = test_seconds();
    crew_run(kind, producers + consumers, take_part, traffic);
    double took = test_seconds() - start;
    struct ledger_account account = ledger_account(traffic->ledger);
    CHECK_EQ(account.acknowledged, messages * producers);
    CHECK_EQ(account.lost, 0);
    CHECK_EQ(account.duplicated, 0);
    CHECK_EQ(account.corrupt, 0);
    CHECK_EQ(account.out_of_order, 0);
    CHECK_EQ(traffic->bytes_got, traffic->bytes_put);
    CHECK_EQ(kin_queue_qsize(traffic->queue), 0);
    CHECK_OK(kin_queue_close(traffic->queue));
    if (producers == 1 && consumers == 1)
        books_check_wakes(&books);
    else
        books_check(&books);
    NOTE("%.0f messages/s, %.0f MB/s", (double)(messages * producers) / took,
         (double)traffic->bytes_got / took / 1e6);
}

static void one_to_one(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){0}, 1, 1, 100000, 300000);
}
CREW_TEST(one_to_one)

static void one_item_at_a_time(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){.max_items = 1}, 2, 2, 20000, 300000);
}
CREW_TEST(one_item_at_a_time)

static void few_items(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){.max_items = 3}, 3, 2, 40000, 300000);
}
CREW_TEST(few_items)

static void few_bytes(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){.max_bytes = 6000}, 4, 3, 40000, 300000);
}
CREW_TEST(few_bytes)

static void many_to_one(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){.max_items = 100}, 8, 1, 80000, 300000);
}
CREW_TEST(many_to_one)

static void one_to_many(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){.max_items = 100}, 1, 8, 80000, 300000);
}
CREW_TEST(one_to_many)

static void many_to_many_small(enum crew_kind kind)
{
    run_traffic(kind, (kin_queue_options){.max_bytes = 100000}, 4, 4, 200000, 60);
}
CREW_TEST(many_to_many_small)
