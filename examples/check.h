/* check.h: what every example does about errors: it says which call failed and why, and ends.
 *
 *     check(kin_queue_open(&queue, NULL));
 *     long size = check(kin_queue_get(queue, &point, sizeof point, KIN_FOREVER));
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include <kin/error.h>

#define check(call) check_code((call), __FILE__, __LINE__, #call)

static inline long check_code(long code, const char *file, int line, const char *call)
{
    if (code >= 0) return code;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, kin_strerror((int)code));
    exit(EXIT_FAILURE);
}

#endif
