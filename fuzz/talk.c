/* talk.c: messages between a pool and its workers, from any bytes: what was accepted lies within them. */
#include <stdlib.h>
#include <string.h>

#include "pool/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte is looked at, so that one outside is found. */
static unsigned sum(const void *bytes, uint64_t size)
{
    unsigned total = 0;
    for (uint64_t i = 0; i < size; i++) total += ((const uint8_t *)bytes)[i];
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kin__talk_message message;
    if (kin__talk_decode(&message, data, size) < 0) return 0;
    if (message.name_size > KIN__TALK_NAME_MOST || message.size > size) abort();
    volatile unsigned seen = sum(message.name, message.name_size) + sum(message.data, message.size);
    (void)seen;
    bool range = message.kind == KIN__TALK_TASK && message.form == KIN__TALK_RANGE;
    if (range && message.in_size != 0 && message.size / message.in_size != message.count) abort();
    if (range && message.out_size != 0 && message.count > KIN__TALK_DATA_MOST / message.out_size) abort();
    return 0;
}
