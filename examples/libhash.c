/* libhash.c: functions for `kin map`.
 *
 *     find /usr/share -type f -print0 | kin map -0 ./libhash.so:sha256_file
 *
 * prints for each file what sha256sum prints. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <kin/map.h>

static int hash_descriptor(int descriptor, EVP_MD_CTX *context)
{
    static unsigned char block[128 * 1024];
    for (;;) {
        ssize_t size = read(descriptor, block, sizeof block);
        if (size == 0) return 0;
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return errno;
        if (EVP_DigestUpdate(context, block, (size_t)size) != 1) return EIO;
    }
}

/* A worker hashes one file after the other: what OpenSSL needs for it is made once. */
static int hash_file(const char *path, unsigned char *digest, unsigned *size)
{
    static EVP_MD_CTX *context;
    static EVP_MD *algorithm;
    if (context == NULL) context = EVP_MD_CTX_new();
    if (algorithm == NULL) algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (context == NULL || algorithm == NULL || EVP_DigestInit_ex2(context, algorithm, NULL) != 1)
        return ENOMEM;

    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return errno;
    int error = hash_descriptor(descriptor, context);
    close(descriptor);
    if (error == 0 && EVP_DigestFinal_ex(context, digest, size) != 1) error = EIO;
    return error;
}

/* A name with a line break or a backslash in it is written so that the line stays one: each of
 * them escaped, and a backslash before the digest to say so. */
static void print_name(const char *path, FILE *output)
{
    for (; *path != '\0'; path++) {
        switch (*path) {
        case '\n': fputs("\\n", output); break;
        case '\r': fputs("\\r", output); break;
        case '\\': fputs("\\\\", output); break;
        default: putc_unlocked(*path, output);
        }
    }
}

/* Writes "DIGEST  PATH", as sha256sum does; returns an errno code when the file cannot be read. */
KIN_MAP_FUNCTION(sha256_file)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int error = hash_file(input, digest, &size);
    if (error != 0) return error;

    char line[2 * EVP_MAX_MD_SIZE + 2];
    for (unsigned i = 0; i < size; i++) {
        line[2 * i] = digits[digest[i] >> 4];
        line[2 * i + 1] = digits[digest[i] & 15];
    }
    memcpy(line + 2 * size, "  ", 2);
    bool escaped = strpbrk(input, "\\\n\r") != NULL;
    if (escaped) putc('\\', output);
    fwrite(line, 1, 2 * size + 2, output);
    if (escaped) {
        print_name(input, output);
    } else {
        fputs(input, output);
    }
    putc('\n', output);
    return 0;
}
