/* test_frame.c: how messages are told apart in a stream: headers in whatever pieces they come, and
 * sizes that no peer sends. */
#include "support/test.h"

#include <string.h>

#include <kin/error.h>

#include "ipc/frame.h"

static const struct {
    uint64_t size;
    size_t length;
    uint8_t header[KIN__FRAME_HEADER_MOST];
} known[] = {
    {0, 4, {0, 0, 0, 0}},
    {1, 4, {0, 0, 0, 1}},
    {0x1f, 4, {0, 0, 0, 0x1f}},
    {0x12345678, 4, {0x12, 0x34, 0x56, 0x78}},
    {0x7fffffff, 4, {0x7f, 0xff, 0xff, 0xff}},
    {0x80000000, 12, {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0}},
    {0x123456789abcdef0, 12, {0xff, 0xff, 0xff, 0xff, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0}},
    {INT64_MAX, 12, {0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
};
#define KNOWN (sizeof known / sizeof *known)

TEST(headers_are_python_s)
{
    for (size_t i = 0; i < KNOWN; i++) {
        uint8_t header[KIN__FRAME_HEADER_MOST];
        test_context("size %llu", (unsigned long long)known[i].size);
        CHECK_EQ(kin__frame_header(header, known[i].size), known[i].length);
        CHECK_MEM(header, known[i].header, known[i].length);
    }
}

TEST(headers_are_read_in_any_pieces)
{
    for (size_t i = 0; i < KNOWN; i++) {
        for (size_t piece = 1; piece <= KIN__FRAME_HEADER_MOST; piece++) {
            struct kin__frame frame = {0};
            size_t fed = 0;
            test_context("size %llu in pieces of %zu", (unsigned long long)known[i].size, piece);
            while (fed < known[i].length) {
                size_t left = known[i].length - fed, count = piece < left ? piece : left;
                CHECK_GT(kin__frame_missing(&frame), 0);
                CHECK_EQ(kin__frame_feed(&frame, known[i].header + fed, count), (long)count);
                fed += count;
            }
            CHECK_EQ(kin__frame_missing(&frame), 0);
            CHECK_EQ(frame.size, known[i].size);
        }
    }
}

TEST(what_follows_a_header_is_not_taken)
{
    const uint8_t stream[] = {0, 0, 0, 2, 'o', 'k', 0, 0, 0, 0};
    struct kin__frame frame = {0};
    CHECK_EQ(kin__frame_feed(&frame, stream, sizeof stream), 4);
    CHECK_EQ(frame.size, 2);
    CHECK_EQ(kin__frame_feed(&frame, stream + 4, sizeof stream - 4), 0);
    struct kin__frame next = {0};
    CHECK_EQ(kin__frame_feed(&next, stream + 6, sizeof stream - 6), 4);
    CHECK_EQ(next.size, 0);
}

TEST(a_long_header_may_hold_a_small_size)
{
    const uint8_t header[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5};
    struct kin__frame frame = {0};
    CHECK_EQ(kin__frame_feed(&frame, header, sizeof header), 12);
    CHECK_EQ(frame.size, 5);
}

TEST(negative_sizes_are_refused)
{
    const uint8_t bad[][KIN__FRAME_HEADER_MOST] = {
        {0xff, 0xff, 0xff, 0xfe},
        {0x80, 0, 0, 0},
        {0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0},
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kin__frame frame = {0};
        CHECK_RC(kin__frame_feed(&frame, bad[i], sizeof bad[i]), KIN_EPROTOCOL);
    }
}
