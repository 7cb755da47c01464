/* permissions.h: a file of further keys of a manager, and of what they may do. */
#ifndef KIN_TOOL_PERMISSIONS_H
#define KIN_TOOL_PERMISSIONS_H

#include <stdbool.h>

#include <kin/manager.h>

#include "key.h"

#define PERMISSION_KEYS_MOST 64
#define PERMISSIONS_MOST     256 /* of a key */

struct permission_key {
    char *name;
    struct key key;
    kin_manager_permission rules[PERMISSIONS_MOST];
    size_t rule_count;
};

struct permissions {
    kin_manager_credential credentials[PERMISSION_KEYS_MOST];
    struct permission_key *keys[PERMISSION_KEYS_MOST];
    size_t count;
};

/* Reads lines of the forms `key NAME FILE` and `NAME PATTERN nothing|read|write`; `#` begins a comment.
 * False when it could not, and that was said.  Whatever it returns, permissions_free. */
bool permissions_read(struct permissions *permissions, const char *file, bool warn);
void permissions_free(struct permissions *permissions);

#endif
