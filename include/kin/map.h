/* kin/map.h: what a function is that `kin map ./library.so:function` runs for every input.
 *
 *     #include <kin/map.h>
 *
 *     KIN_MAP_FUNCTION(shout)
 *     {
 *         return fprintf(output, "%s!\n", input) < 0 ? errno : 0;
 *     }
 *
 *     $ gcc -shared -fPIC -o libshout.so shout.c
 *     $ kin map ./libshout.so:shout ::: hello world
 *
 * The function is called in a worker process, for one input after the other.  What it prints or writes to
 * `output` is printed whole, and not mixed with that of other inputs; it may neither close
 * `output` nor seek in it.  It returns 0, or a code that makes the job fail: an errno code is
 * shown with its text, any other number as it is.  `input` ends with a NUL and lives until the
 * function returns.
 *
 * The function may crash, exit, or be killed: the input it was on is run again, or listed as
 * failed with how the worker died; other inputs do not notice.  So an input may be run more
 * than once.  Standard input of a worker is empty.  See kin-map(1). */
#ifndef KIN_MAP_H
#define KIN_MAP_H

#include <stdio.h>

#include <kin/version.h>

KIN_BEGIN

typedef int kin_map_function(const char *input, FILE *output);

/* Begins the definition of a function that the shared object exports under this name. */
#define KIN_MAP_FUNCTION(name) \
    KIN_API int name(const char *input, FILE *output); \
    int name(const char *input, FILE *output)

KIN_END
#endif
