/* openssl.c: OpenSSL, loaded when it is first needed.  See openssl.h.
 *
 * The functions are declared here as OpenSSL 1.1 and 3 both have them, so that building kin
 * needs no header of OpenSSL. */
#define _GNU_SOURCE
#include "os/openssl.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include <kin/error.h>

#include "base/log.h"
#include "os/fault.h"

/* As OpenSSL defines it. */
#define OPENSSL_INIT_NO_ATEXIT 0x00080000u

typedef int init(uint64_t options, const void *settings);
typedef const void *digest_by_name(const char *name);
typedef unsigned char *hmac(const void *digest, const void *key, int key_size, const unsigned char *data,
                            size_t size, unsigned char *mac, unsigned *mac_size);

static struct {
    pthread_once_t once;
    int result;
    digest_by_name *digest_by_name;
    hmac *hmac;
} crypto = {.once = PTHREAD_ONCE_INIT, .result = KIN_ELIBRARY};

void kin__openssl_keep(void *library)
{
    init *function;
    *(void **)&function = dlsym(library, "OPENSSL_init_crypto");
    if (function != NULL) function(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static void load_crypto(void)
{
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) library = dlopen("libcrypto.so.1.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return;
    kin__openssl_keep(library);
    *(void **)&crypto.digest_by_name = dlsym(library, "EVP_get_digestbyname");
    *(void **)&crypto.hmac = dlsym(library, "HMAC");
    if (crypto.digest_by_name != NULL && crypto.hmac != NULL) crypto.result = 0;
}

int kin__os_hmac(enum kin__digest digest, const void *key, size_t key_size, const void *data, size_t size,
                 uint8_t mac[KIN__HMAC_MOST])
{
    static const char *const names[KIN__DIGESTS] = {"MD5", "SHA256", "SHA384", "SHA3-256", "SHA3-384"};
    unsigned length = 0;
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0) return rc;
    if (key_size > INT_MAX || digest >= KIN__DIGESTS) return -EINVAL;
    pthread_once(&crypto.once, load_crypto);
    if (crypto.result < 0) {
        kin__log(KIN_LOG_ERROR,
                 "cannot authenticate: libcrypto of OpenSSL (Debian: libssl3) is not installed");
        return crypto.result;
    }
    const void *method = crypto.digest_by_name(names[digest]);
    /* To OpenSSL no key means the previous one. */
    if (key == NULL) key = "";
    if (method == NULL || crypto.hmac(method, key, (int)key_size, data, size, mac, &length) == NULL)
        return -EOPNOTSUPP;
    return (int)length;
}
