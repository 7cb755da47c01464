/* D05: a pool whose workers are other programs, on this machine or on others.
 *
 *     d05_remote_pool                     opens the pool, and starts two workers of its own
 *     d05_remote_pool ADDRESS             opens it there, and waits for workers
 *     d05_remote_pool --worker ADDRESS    is one
 */
#include <stdio.h>
#include <string.h>

#include <kin.h>

#include "check.h"

#define KEY   "change me"
#define COUNT 1000

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)
KIN_TASK(square)

static int work(const char *address)
{
    kin_client_options client = {.key = KEY, .key_size = strlen(KEY)};
    int rc = kin_worker_serve(address, &(kin_worker_options){.client = &client, .workers = 1});
    if (rc < 0) fprintf(stderr, "cannot work for %s: %s\n", address, kin_strerror(rc));
    return rc < 0;
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[1], "--worker") == 0) return work(words[2]);

    static int in[COUNT];
    static long out[COUNT];
    kin_listener_options listener = {.key = KEY, .key_size = strlen(KEY)};
    kin_pool *pool = NULL;
    kin_subprocess *worker[2] = {NULL};
    for (int i = 0; i < COUNT; i++) in[i] = i;

    check(kin_pool_open(&pool, &(kin_pool_options){.address = count > 1 ? words[1] : "tcp://127.0.0.1:0",
                                                   .listener = &listener,
                                                   .retries = 3}));
    if (count > 1) printf("workers are welcome at %s\n", kin_pool_address(pool));
    fflush(stdout);
    for (int i = 0; i < 2 && count == 1; i++)
        check(kin_subprocess_start(&worker[i], KIN_COMMAND(words[0], "--worker", kin_pool_address(pool)),
                                   NULL));
    /* Both are to have a part in it: one that came after the end would find nobody. */
    kin_pool_status status = {.remote = 0};
    while (count == 1 && status.remote < 2) {
        check(kin_coroutine_sleep(kin_in_ms(1)));
        check(kin_pool_stats(pool, &status));
    }

    check(kin_pool_map(pool, KIN_FN(square), in, out, COUNT, KIN_FOREVER));
    long sum = 0;
    for (int i = 0; i < COUNT; i++) sum += out[i];
    printf("the sum of %d squares is %ld\n", COUNT, sum);

    check(kin_pool_close(pool));
    check(kin_pool_join(pool, kin_in_s(20)));
    check(kin_pool_free(pool));
    for (int i = 0; i < 2 && count == 1; i++) {
        int code;
        check(kin_subprocess_wait(worker[i], kin_in_s(20)));
        check(kin_subprocess_exit_code(worker[i], &code));
        printf("a worker has ended with code %d\n", code);
        check(kin_subprocess_close(worker[i]));
    }
    return 0;
}
