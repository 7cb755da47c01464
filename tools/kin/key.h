/* key.h: authentication keys, which stand in files: never on a command line or in the environment. */
#ifndef KEY_H
#define KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_MOST ((size_t)4096)

struct key {
    uint8_t bytes[KEY_MOST + 1];
    size_t size;
};

/* Reads the key: the bytes of the file (- is standard input) without a newline at its end.  False
 * when it could not, and that was said.  With `warn`, says that others may read the file. */
bool key_read(struct key *key, const char *file, bool warn);

#endif
