/* test_queue_value.c: values through queues, alone and by crews of producers and consumers. */
#include "support/books.h"
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <stdatomic.h>
#include <string.h>

#include <kin/container.h>
#include <kin/queue_value.h>

TEST(values_come_out_as_they_went_in)
{
    static char large[100000];
    struct books books = books_open();
    kin_queue *queue = NULL;
    kin_value in[] = {kin_value_none(), kin_value_uint(UINT64_MAX),
                      kin_value_build("{s:[idb], s:(N)}", "x", 1, 0.5, 1, "y"),
                      kin_value_bytes(large, sizeof large)};
    CHECK_OK(kin_queue_open(&queue, NULL));
    for (int i = 0; i < 4; i++) CHECK_RC(kin_queue_put_value(queue, &in[i], KIN_NOW), 0);
    for (int i = 0; i < 4; i++) {
        kin_value out;
        CHECK_RC(kin_queue_get_value(queue, &out, KIN_NOW), 0);
        CHECK_EQ(kin_value_equal(&in[i], &out), 1);
        kin_value_clear(&out);
        kin_value_clear(&in[i]);
    }
    CHECK_OK(kin_queue_close(queue));
    books_check(&books);
}

TEST(errors_lose_nothing)
{
    kin_queue *queue = NULL;
    kin_value value = kin_value_build("[i]", 1), out = value;
    CHECK_OK(kin_queue_open(&queue, &(kin_queue_options){.max_items = 1}));
    CHECK_RC(kin_queue_get_value(queue, &out, KIN_NOW), KIN_EMPTY);
    CHECK_EQ(kin_value_kind(&out), KIN_VALUE_NONE);
    CHECK_RC(kin_queue_put_value(queue, &value, KIN_NOW), 0);
    CHECK_RC(kin_queue_put_value(queue, &value, KIN_NOW), KIN_FULL);
    CHECK_EQ(kin_value_len(&value), 1);
    CHECK_RC(kin_queue_get_value(queue, NULL, KIN_NOW), -EINVAL);
    CHECK_EQ(kin_queue_qsize(queue), 1);
    CHECK_RC(kin_queue_put_value(queue, NULL, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_put_value(NULL, &value, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get_value(NULL, &out, KIN_NOW), -EINVAL);
    CHECK_RC(kin_queue_get_value(queue, &out, KIN_NOW), 0);
    kin_value_clear(&out);
    kin_value failed = kin_value_failed(-EPERM);
    CHECK_RC(kin_queue_put_value(queue, &failed, KIN_NOW), -EPERM);
    CHECK_RC(kin_queue_put(queue, "no pickle", 9, KIN_NOW), 0);
    CHECK_RC(kin_queue_get_value(queue, &out, KIN_NOW), KIN_EPICKLE);
    CHECK_OK(kin_queue_shutdown(queue, 0));
    CHECK_RC(kin_queue_get_value(queue, &out, KIN_FOREVER), KIN_ECLOSED);
    CHECK_RC(kin_queue_put_value(queue, &value, KIN_FOREVER), KIN_ECLOSED);
    kin_value_clear(&value);
    CHECK_OK(kin_queue_close(queue));
}

static int put_and_get(void *context)
{
    kin_value value = kin_value_build("{s:s}", "a key of its own block", "a text of its own block"), out;
    int rc = kin_queue_put_value(context, &value, KIN_NOW);
    kin_value_clear(&value);
    if (rc < 0) return rc;
    rc = kin_queue_get_value(context, &out, KIN_NOW);
    kin_value_clear(&out);
    /* What was put and could not be read stays for a second attempt. */
    if (rc < 0 && kin_queue_get_value(context, &out, KIN_NOW) == 0) kin_value_clear(&out);
    return rc;
}

TEST(a_lack_of_memory_is_an_error)
{
    kin_queue *queue = NULL;
    CHECK_OK(kin_queue_open(&queue, NULL));
    struct faults_report report =
        faults(&(struct faults){.make = put_and_get, .context = queue, .kinds = 1u << KIN__FAULT_MEMORY});
    CHECK_GT(report.failures, 0);
    CHECK_OK(kin_queue_close(queue));
}

/* ---- crews ----------------------------------------------------------------------------------- */

#define EACH 500

struct traffic {
    kin_queue *queue;
    _Atomic long sum, got;
};

/* Even members put, odd ones get. */
static void put_or_get(void *context, unsigned index)
{
    struct traffic *traffic = context;
    for (int i = 0; i < EACH; i++) {
        if (index % 2 == 0) {
            kin_value value =
                kin_value_build("{s:i, s:[is]}", "number", i, "from", (int)index, "a text for a block");
            CHECK_RC(kin_queue_put_value(traffic->queue, &value, KIN_FOREVER), 0);
            kin_value_clear(&value);
        } else {
            int number, from;
            const char *text;
            kin_value value;
            CHECK_RC(kin_queue_get_value(traffic->queue, &value, KIN_FOREVER), 0);
            CHECK_RC(kin_value_parse(&value, "{s:i, s:[is]}", "number", &number, "from", &from, &text), 0);
            CHECK_STR(text, "a text for a block");
            atomic_fetch_add(&traffic->sum, number);
            atomic_fetch_add(&traffic->got, 1);
            kin_value_clear(&value);
        }
    }
}

static void every_value_arrives_once(enum crew_kind kind)
{
    struct traffic *traffic = test_shared(sizeof *traffic);
    CHECK_OK(kin_queue_open(&traffic->queue, &(kin_queue_options){.max_items = 16}));
    crew_run(kind, 4, put_or_get, traffic);
    CHECK_EQ(traffic->got, 2 * EACH);
    CHECK_EQ(traffic->sum, 2L * EACH * (EACH - 1) / 2);
    CHECK_OK(kin_queue_close(traffic->queue));
}
CREW_TEST(every_value_arrives_once)
