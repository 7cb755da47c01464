/* L12: an endless stream of inputs within a window of 8: squares until one is above 1000. */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static long count_up(void *context, const void **input)
{
    static int number;
    number = (*(int *)context)++;
    *input = &number;
    return sizeof number;
}

int main(void)
{
    kin_pool *pool = NULL;
    kin_imap *squares = NULL;
    const void *out = NULL;
    int pulled = 0;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    check(kin_imap_open(&squares, pool, KIN_FN(square), count_up, &pulled, &(kin_imap_options){.window = 8}));
    do check((int)kin_imap_next(squares, &out, KIN_FOREVER));
    while (*(const long *)out <= 1000);
    printf("%ld squared is %ld\n", kin_imap_index(squares), *(const long *)out);
    printf("pulled at most 8 more: %s\n", pulled <= kin_imap_index(squares) + 9 ? "yes" : "no");
    check(kin_imap_close(squares));
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
