/* wire.c: see wire.h. */
#include "manager/wire.h"

#include <stdio.h>
#include <string.h>

#include <kin/container.h>
#include <kin/pickle.h>

#include "ipc/frame.h"

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

int kin__wire_append(struct kin__buffer *out, const kin_value *value)
{
    /* The header stands before the pickle and holds its size: room is left for a short one, and
     * only a message of 2 GiB is moved to make room for a long one. */
    static const uint8_t room[KIN__FRAME_HEADER_MOST];
    uint8_t header[KIN__FRAME_HEADER_MOST];
    size_t least = kin__frame_header(header, 0), before = kin__buffer_size(out);
    int rc = kin__buffer_append(out, room, least);
    if (rc == 0) rc = kin_pickle_dumps(value, &out->bytes);
    size_t size = kin__buffer_size(out) - before - least;
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

int kin__wire_answer(struct kin__buffer *out, const char *kind, const kin_value *value)
{
    kin_value pair[2] = {kin_value_str(kind), kin_value_ref(value)};
    kin_value answer = kin_value_tuple(pair, 2);
    int rc = kin__wire_append(out, &answer);
    kin_value_clear(&answer);
    return rc;
}
