/* pipes.h: pipes for cases, and messages of any size whose every byte is known. */
#ifndef PIPES_H
#define PIPES_H

#include <stdlib.h>

#include <kin/connection.h>

#include "test.h"

struct ends {
    kin_connection *first;
    kin_connection *second;
};

static inline struct ends open_pipe(bool simplex)
{
    struct ends ends = {NULL, NULL};
    CHECK_RC(kin_pipe_open(&ends.first, &ends.second, &(kin_pipe_options){.simplex = simplex}), 0);
    return ends;
}

static inline void close_pipe(struct ends *ends)
{
    CHECK_OK(kin_connection_close(ends->first));
    CHECK_OK(kin_connection_close(ends->second));
}

static inline unsigned char byte_of(size_t size, size_t index)
{
    return (unsigned char)(size * 31 + index * 7 + (index >> 8));
}

static inline unsigned char *make_message(size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++) bytes[i] = byte_of(size, i);
    return bytes;
}

static inline void send_message(kin_connection *connection, size_t size)
{
    unsigned char *bytes = make_message(size);
    CHECK_RC(kin_connection_send(connection, bytes, size, KIN_FOREVER), 0);
    free(bytes);
}

static inline void receive_message(kin_connection *connection, size_t size, size_t capacity)
{
    unsigned char *expected = make_message(size), *got = malloc(capacity + 1);
    got[capacity] = 0xa5;
    CHECK_RC(kin_connection_recv(connection, got, capacity, KIN_FOREVER), (long)size);
    CHECK_MEM(got, expected, size);
    CHECK_EQ(got[capacity], 0xa5);
    free(expected);
    free(got);
}

#endif
