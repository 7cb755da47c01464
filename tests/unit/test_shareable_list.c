/* test_shareable_list.c: lists in a block of memory: what cannot be in one is refused, and what is
 * damaged is not believed.  That Python reads them is in tests/interop. */
#define _GNU_SOURCE
#include "support/chaos.h"
#include "support/faults.h"
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/shareable_list.h>

static kin_shareable_item text(const char *bytes, size_t size)
{
    return (kin_shareable_item){.type = KIN_SHAREABLE_STR, .bytes = bytes, .size = size};
}

static kin_shareable_list *create(const kin_shareable_item *items, size_t count)
{
    kin_shareable_list *list = NULL;
    CHECK_RC(kin_shareable_list_create(&list, NULL, items, count), 0);
    return list;
}

TEST_COLD(what_python_could_not_read_is_refused)
{
    kin_shareable_list *list = NULL;
    static const struct {
        const char *bytes;
        size_t size;
    } wrong[] = {{"end\0", 4},    {"\xff", 1},         {"\xc3", 1},
                 {"\xc0\x80", 2}, {"\xed\xa0\x80", 3}, {"\xf4\x90\x80\x80", 4},
                 {"a\x80", 2},    {"\xe2\x82", 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kin_shareable_item item = text(wrong[i].bytes, wrong[i].size);
        CHECK_RC(kin_shareable_list_create(&list, NULL, &item, 1), -EILSEQ);
        /* As bytes only the zero at the end is lost. */
        item.type = KIN_SHAREABLE_BYTES;
        if (i > 0) {
            CHECK_RC(kin_shareable_list_create(&list, NULL, &item, 1), 0);
            CHECK_RC(kin_shareable_list_close(list), 0);
        } else {
            CHECK_RC(kin_shareable_list_create(&list, NULL, &item, 1), -EILSEQ);
        }
    }
    static char large[9999991];
    memset(large, 'x', sizeof large);
    kin_shareable_item item = text(large, sizeof large);
    CHECK_RC(kin_shareable_list_create(&list, NULL, &item, 1), -EMSGSIZE);
    item.size--;
    CHECK_RC(kin_shareable_list_create(&list, NULL, &item, 1), 0);
    CHECK_RC(kin_shareable_list_close(list), 0);
}

TEST_COLD(bad_arguments_are_refused)
{
    kin_shareable_item item = {.type = KIN_SHAREABLE_INT, .integer = 5};
    kin_shareable_list *list = create(&item, 1), *none = NULL;
    CHECK_RC(kin_shareable_list_create(NULL, NULL, &item, 1), -EINVAL);
    CHECK_RC(kin_shareable_list_create(&none, NULL, NULL, 1), -EINVAL);
    CHECK_RC(kin_shareable_list_create(&none, "a/b", &item, 1), -EINVAL);
    CHECK_RC(kin_shareable_list_attach(&none, "kin-there-is-none"), -ENOENT);
    CHECK_RC(kin_shareable_list_get(list, 1, &item, NULL, 0), KIN_EINDEX);
    CHECK_RC(kin_shareable_list_set(list, 1, &item), KIN_EINDEX);
    CHECK_RC(kin_shareable_list_get(NULL, 0, &item, NULL, 0), -EINVAL);
    CHECK_RC(kin_shareable_list_get(list, 0, NULL, NULL, 0), -EINVAL);
    CHECK_RC(kin_shareable_list_set(list, 0, NULL), -EINVAL);
    item.type = (enum kin_shareable_type)9;
    CHECK_RC(kin_shareable_list_set(list, 0, &item), -EINVAL);
    CHECK_RC(kin_shareable_list_get(list, 0, &item, NULL, 0), 0);
    CHECK_EQ(item.integer, 5);
    /* A place of eight bytes. */
    item = text("12345678", 8);
    CHECK_RC(kin_shareable_list_set(list, 0, &item), 0);
    char buffer[9];
    CHECK_RC(kin_shareable_list_get(list, 0, &item, buffer, 8), KIN_ETOOSMALL);
    CHECK_EQ(kin_needed_size(), 9);
    CHECK_RC(kin_shareable_list_get(list, 0, &item, buffer, 9), 0);
    CHECK_STR(buffer, "12345678");
    item = text("123456789", 9);
    CHECK_RC(kin_shareable_list_set(list, 0, &item), -EMSGSIZE);
    CHECK_RC((int)kin_shareable_list_length(NULL), -EINVAL);
    CHECK(kin_shareable_list_memory(NULL) == NULL);
    CHECK_RC(kin_shareable_list_close(NULL), 0);
    CHECK_RC(kin_shareable_list_close(list), 0);
    list = create(NULL, 0);
    CHECK_EQ(kin_shareable_list_length(list), 0);
    CHECK_RC(kin_shareable_list_close(list), 0);
}

/* Whatever stands in the block, reading it ends in an error or in what it says. */
TEST_COLD(damage_is_found_or_does_no_harm)
{
    const kin_shareable_item items[] = {
        {.type = KIN_SHAREABLE_INT, .integer = 5}, text("some text", 9), {.type = KIN_SHAREABLE_NONE}};
    kin_shareable_list *list = create(items, 3), *again = NULL;
    kin_shared_memory *memory = kin_shareable_list_memory(list);
    unsigned char *bytes = kin_shared_memory_data(memory), whole[512];
    size_t size = kin_shared_memory_size(memory);
    uint64_t random = 4711;
    int refused = 0, rounds = test_sanitized() ? 3000 : 20000;
    CHECK_LE(size, sizeof whole);
    memcpy(whole, bytes, size);
    for (int round = 0; round < rounds; round++) {
        test_context("round %d", round);
        uint64_t choice = chaos_random(&random);
        for (unsigned n = 0; n <= choice % 3; n++) {
            uint64_t where = chaos_random(&random);
            bytes[where % size] = (unsigned char)(where >> 32);
        }
        int rc = kin_shareable_list_attach(&again, kin_shared_memory_name(memory));
        CHECK(rc == 0 || rc == -EBADMSG);
        refused += rc < 0;
        for (size_t i = 0; rc == 0 && i < (size_t)kin_shareable_list_length(again) && i < 10; i++) {
            kin_shareable_item item;
            char buffer[64];
            int got = kin_shareable_list_get(again, i, &item, buffer, sizeof buffer);
            CHECK(got == 0 || got == -EBADMSG || got == -EILSEQ || got == KIN_ETOOSMALL);
        }
        if (rc == 0) CHECK_RC(kin_shareable_list_close(again), 0);
        memcpy(bytes, whole, size);
    }
    CHECK_GT(refused, 0);
    CHECK_RC(kin_shareable_list_close(list), 0);
}

static int make(void *context)
{
    kin_shareable_item item = {.type = KIN_SHAREABLE_INT, .integer = 5};
    return kin_shareable_list_create(context, NULL, &item, 1);
}

static int unmake(void *context)
{
    return kin_shareable_list_close(*(kin_shareable_list **)context);
}

TEST_COLD(create_under_faults)
{
    kin_shareable_list *list = NULL;
    struct faults_report report = faults(&(struct faults){.make = make, .unmake = unmake, .context = &list});
    CHECK_GT(report.failures, 3);
}
