/* peer_libuv.c: libuv's uv_spawn, in the process benchmark. */
#include <stdlib.h>
#include <uv.h>

#include "process.h"

static void on_close(uv_handle_t *handle)
{
    (void)handle;
}

static void on_exit_of(uv_process_t *process, int64_t code, int signal)
{
    if (code || signal) process_ended_badly((int)code);
    uv_close((uv_handle_t *)process, on_close);
}

double peer_libuv_process(const struct bench_case *test, long count)
{
    if (process_touch(test)) return -1;
    uv_loop_t *loop = uv_default_loop();
    char *argv[] = {"/bin/true", NULL};
    uv_process_options_t options = {.exit_cb = on_exit_of, .file = argv[0], .args = argv};
    double begin = bench_now();
    for (long i = 0; i < count; i++) {
        uv_process_t process;
        int rc = uv_spawn(loop, &process, &options);
        if (rc) return bench_fail("uv_spawn: %s", uv_strerror(rc));
        uv_run(loop, UV_RUN_DEFAULT);
    }
    return bench_now() - begin;
}
