/* openssl.h: what kin uses of OpenSSL, a contract for each call.
 *
 * OpenSSL is not linked: libcrypto and libssl are loaded when they are first needed, so that a
 * program which authenticates nobody neither needs them installed nor pays for loading them.
 * Where they are missing the calls fail with KIN_ELIBRARY, and say so in the log.
 */
#ifndef KIN_OS_OPENSSL_H
#define KIN_OS_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

/* Keeps OpenSSL from being taken down at exit, when functions that run later, and threads that go on, may still need
 * it.  `library` is libcrypto or libssl that has just been loaded; once the program itself has used it, it is
 * too late. */
void kin__openssl_keep(void *library);

enum kin__digest { KIN__MD5, KIN__SHA256, KIN__SHA384, KIN__SHA3_256, KIN__SHA3_384, KIN__DIGESTS };

#define KIN__HMAC_MOST 64

/* kin__os_hmac computes the HMAC (RFC 2104) of `size` bytes of `data`, stores it in `mac` and
 * returns its length in bytes.
 * Errors: KIN_ELIBRARY, -EOPNOTSUPP (the system's policy forbids the digest), -ENOMEM. */
int kin__os_hmac(enum kin__digest digest, const void *key, size_t key_size, const void *data, size_t size,
                 uint8_t mac[KIN__HMAC_MOST]);

#endif
