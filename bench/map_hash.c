/* map_hash.c: the limit for hashing files: forked workers, one atomic counter, OpenSSL. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "map.h"

/* Lines are gathered and written whole; the file is open for appending. */
struct output {
    int descriptor;
    size_t used;
    char text[1 << 16];
};

static int flush(struct output *output)
{
    ssize_t written = write(output->descriptor, output->text, output->used);
    int rc = written == (ssize_t)output->used ? 0 : -1;
    output->used = 0;
    return rc;
}

static int hash(const char *name, unsigned char *digest)
{
    static EVP_MD_CTX *context;
    static char block[1 << 17];
    if (!context) context = EVP_MD_CTX_new();
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0 || !context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) return -1;
    ssize_t got;
    while ((got = read(file, block, sizeof block)) > 0) EVP_DigestUpdate(context, block, (size_t)got);
    close(file);
    return got == 0 && EVP_DigestFinal_ex(context, digest, NULL) ? 0 : -1;
}

static int hash_line(struct output *output, const char *name)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (hash(name, digest)) return -1;
    size_t length = strlen(name);
    if (output->used + 64 + 2 + length + 1 > sizeof output->text && flush(output)) return -1;
    char *at = output->text + output->used;
    for (int i = 0; i < 32; i++) {
        *at++ = "0123456789abcdef"[digest[i] >> 4];
        *at++ = "0123456789abcdef"[digest[i] & 15];
    }
    output->used += (size_t)snprintf(at, length + 4, "  %s\n", name) + 64;
    return 0;
}

static void worker(char **names, long count, _Atomic long *next, int descriptor)
{
    static struct output output;
    output.descriptor = descriptor;
    for (long i; (i = atomic_fetch_add(next, 1)) < count;) {
        if (hash_line(&output, names[i])) {
            bench_fail("cannot hash %s: %s", names[i], strerror(errno));
            _exit(1);
        }
    }
    _exit(flush(&output) != 0);
}

int map_hash_files(char **names, long count, int descriptor)
{
    _Atomic long *next = bench_shared(sizeof *next);
    for (int i = 0; i < MAP_JOBS; i++) {
        pid_t pid = fork();
        if (pid == 0) worker(names, count, next, descriptor);
        if (pid < 0) return (int)bench_fail("cannot fork: %s", strerror(errno));
    }
    int status;
    int rc = 0;
    while (wait(&status) > 0) rc |= status;
    return rc ? (int)bench_fail("a worker failed") : 0;
}
