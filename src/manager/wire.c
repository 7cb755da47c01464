/* wire.c: see wire.h. */
#include "manager/wire.h"

#include <stdio.h>
#include <string.h>

#include <kin/container.h>

#include "ipc/frame.h"
#include "value/pickle.h"

/* Room that is made for an answer at once. */
#define USUAL_SIZE 256

kin_value kin__address_value(const char *address)
{
    char host[256];
    int port;
    /* Of tcp:// and tls:// alike. */
    if (sscanf(address, "t%*2[cpls]://[%255[^]]]:%d", host, &port) == 2 ||
        sscanf(address, "t%*2[cpls]://%255[^:]:%d", host, &port) == 2)
        return kin_value_build("(si)", host, port);
    const char *name = strchr(address, ':') + 1;
    if (*name != '@') return kin_value_str(name);
    snprintf(host, sizeof host, "%s", name);
    host[0] = '\0';
    return kin_value_bytes(host, 1 + strlen(host + 1));
}

/* The header stands before the pickle and holds its size: room is left for a short one, and
 * only a message of 2 GiB is moved to make room for a long one. */
static int leave_room(struct kin__buffer *out)
{
    uint8_t header[KIN__FRAME_HEADER_MOST];
    int rc = kin__buffer_reserve(out, USUAL_SIZE);
    if (rc == 0) out->bytes.size += kin__frame_header(header, 0);
    return rc;
}

/* The pickle is there behind that room, which begins after `before` bytes; `rc`: or why not. */
static int put_header(struct kin__buffer *out, size_t before, int rc)
{
    uint8_t header[KIN__FRAME_HEADER_MOST];
    size_t least = kin__frame_header(header, 0), size = kin__buffer_size(out) - before - least;
    size_t length = kin__frame_header(header, size);
    if (rc == 0 && length > least) rc = kin__buffer_reserve(out, length - least);
    if (rc < 0) {
        out->bytes.size = out->from + before;
        return rc;
    }
    uint8_t *start = kin__buffer_start(out) + before;
    if (length > least) {
        memmove(start + length, start + least, size);
        out->bytes.size += length - least;
    }
    memcpy(start, header, length);
    return 0;
}

int kin__wire_message(struct kin__buffer *out, const kin_value *value)
{
    size_t before = kin__buffer_size(out);
    int rc = leave_room(out);
    return rc < 0 ? rc : put_header(out, before, kin_pickle_dumps(value, &out->bytes));
}

int kin__wire_answer(struct kin__buffer *out, const char *kind, const kin_value *value, size_t most)
{
    size_t before = kin__buffer_size(out);
    int rc = leave_room(out);
    return rc < 0 ? rc : put_header(out, before, kin__pickle_dumps_pair(kind, value, most, &out->bytes));
}
