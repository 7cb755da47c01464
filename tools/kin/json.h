/* json.h: JSON written onto an output. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>

#include "output.h"

/* Each writes "name":value, with a comma before it unless it is the first in an object or a
 * list; a NULL name writes the value alone, in a list. Returns 0 or -errno of output_add. */
int json_number(struct output *out, const char *name, long long value);
int json_seconds(struct output *out, const char *name, double seconds);
int json_null(struct output *out, const char *name);
int json_boolean(struct output *out, const char *name, bool value);
/* Bytes become a string when they are UTF-8.  What is not is written in base 64, under the
 * name with "_base64" behind it; without a name, as an object {"base64": ...}. */
int json_bytes(struct output *out, const char *name, const char *bytes, size_t size);
int json_output(struct output *out, const char *name, const struct output *value);
bool json_is_text(const char *bytes, size_t size); /* UTF-8 */
int json_open(struct output *out, const char *name, char bracket);
int json_close(struct output *out, char bracket);

#endif
