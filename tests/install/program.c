/* program.c: a user's program, built against an installed kin.
 *
 * It sends a message from a child process through a queue, maps a function with a pool, and
 * prints "kin VERSION".  It compiles as C11 and as C++17, and exits with 1 when anything is
 * not as it should be. */
#include <kin.h>
#include <stdio.h>
#include <string.h>

static int square(const int *in, long *out)
{
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)

static int put_greeting(void *queue)
{
    return kin_queue_put((kin_queue *)queue, "hello", 6, kin_in_s(10)) < 0;
}

static int check(const char *what, long code)
{
    if (code >= 0) return 0;
    fprintf(stderr, "%s: %s\n", what, kin_strerror((int)code));
    return 1;
}

static int exchange(void)
{
    kin_queue *queue = NULL;
    kin_process *child = NULL;
    char text[16] = "";
    int code = -1;
    if (check("kin_queue_open", kin_queue_open(&queue, NULL))) return 1;
    if (check("kin_process_start", kin_process_start(&child, put_greeting, queue, NULL))) return 1;
    if (check("kin_queue_get", kin_queue_get(queue, text, sizeof text, kin_in_s(10)))) return 1;
    if (check("kin_process_join", kin_process_join(child, kin_in_s(10)))) return 1;
    if (check("kin_process_exit_code", kin_process_exit_code(child, &code))) return 1;
    if (check("kin_process_close", kin_process_close(child))) return 1;
    if (check("kin_queue_close", kin_queue_close(queue))) return 1;
    return code != 0 || strcmp(text, "hello") != 0;
}

static int map(void)
{
    int in[100];
    long out[100];
    kin_pool *pool = NULL;
    for (int i = 0; i < 100; i++) in[i] = i;
    if (check("kin_pool_open", kin_pool_open(&pool, NULL))) return 1;
    if (check("kin_pool_map", kin_pool_map(pool, KIN_FN(square), in, out, 100, kin_in_s(10)))) return 1;
    if (check("kin_pool_close", kin_pool_close(pool))) return 1;
    if (check("kin_pool_join", kin_pool_join(pool, kin_in_s(10)))) return 1;
    if (check("kin_pool_free", kin_pool_free(pool))) return 1;
    for (int i = 0; i < 100; i++) {
        if (out[i] != (long)i * i) return 1;
    }
    return 0;
}

int main(void)
{
    if (exchange() || map()) return 1;
    printf("kin %s\n", kin_version());
    return strcmp(kin_version(), KIN_VERSION) != 0;
}
