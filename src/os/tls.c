/* tls.c: see tls.h.
 *
 * The functions and numbers are declared here as OpenSSL 1.1.1 and 3 both have them, so that building
 * kin needs no header of OpenSSL.
 *
 * Invariants:
 *  - Nothing below 1.3 is spoken, and no session outlives its connection.
 *  - Where the key is the proof no certificate is: a side that did not use the key is refused.
 */
#define _GNU_SOURCE
#include "os/tls.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kin/error.h>

#include "os/fault.h"
#include "os/openssl.h"
#include "os/os.h"

/* Types of OpenSSL, of which we have only pointers. */
typedef struct ssl_st ssl_connection;
typedef struct ssl_ctx_st ssl_context;
typedef struct ssl_session_st ssl_session;
typedef struct bio_st ssl_bytes;

typedef int find_by_identity(ssl_connection *ssl, const unsigned char *identity, size_t size,
                             ssl_session **session);
typedef int offer_identity(ssl_connection *ssl, const void *digest, const unsigned char **identity,
                           size_t *size, ssl_session **session);
typedef int ask_password(char *buffer, int size, int writing, void *data);

/* X(result, name, parameters) */
#define FUNCTIONS(X) \
    X(const void *, TLS_server_method, (void)) \
    X(const void *, TLS_client_method, (void)) \
    X(ssl_context *, SSL_CTX_new, (const void *method)) \
    X(void, SSL_CTX_free, (ssl_context * context)) \
    X(long, SSL_CTX_ctrl, (ssl_context * context, int command, long number, void *pointer)) \
    X(int, SSL_CTX_set_num_tickets, (ssl_context * context, size_t count)) \
    X(int, SSL_CTX_set_ciphersuites, (ssl_context * context, const char *names)) \
    X(void, SSL_CTX_set_default_passwd_cb, (ssl_context * context, ask_password * ask)) \
    X(int, SSL_CTX_use_certificate_chain_file, (ssl_context * context, const char *file)) \
    X(int, SSL_CTX_use_PrivateKey_file, (ssl_context * context, const char *file, int kind)) \
    X(int, SSL_CTX_load_verify_locations, (ssl_context * context, const char *file, const char *directory)) \
    X(int, SSL_CTX_set_default_verify_paths, (ssl_context * context)) \
    X(void *, SSL_load_client_CA_file, (const char *file)) \
    X(void, SSL_CTX_set_client_CA_list, (ssl_context * context, void *names)) \
    X(void, SSL_CTX_set_verify, (ssl_context * context, int mode, void *callback)) \
    X(void, SSL_CTX_set_psk_find_session_callback, (ssl_context * context, find_by_identity * find)) \
    X(void, SSL_CTX_set_psk_use_session_callback, (ssl_context * context, offer_identity * offer)) \
    X(ssl_connection *, SSL_new, (ssl_context * context)) \
    X(void, SSL_free, (ssl_connection * ssl)) \
    X(long, SSL_ctrl, (ssl_connection * ssl, int command, long number, void *pointer)) \
    X(int, SSL_set_ex_data, (ssl_connection * ssl, int index, void *data)) \
    X(void *, SSL_get_ex_data, (const ssl_connection *ssl, int index)) \
    X(void, SSL_set_bio, (ssl_connection * ssl, ssl_bytes * in, ssl_bytes * out)) \
    X(void, SSL_set_accept_state, (ssl_connection * ssl)) \
    X(void, SSL_set_connect_state, (ssl_connection * ssl)) \
    X(void *, SSL_get0_param, (ssl_connection * ssl)) \
    X(int, X509_VERIFY_PARAM_set1_ip_asc, (void *parameters, const char *address)) \
    X(int, SSL_set1_host, (ssl_connection * ssl, const char *name)) \
    X(int, SSL_do_handshake, (ssl_connection * ssl)) \
    X(int, SSL_session_reused, (const ssl_connection *ssl)) \
    X(int, SSL_read, (ssl_connection * ssl, void *buffer, int size)) \
    X(int, SSL_peek, (ssl_connection * ssl, void *buffer, int size)) \
    X(int, SSL_write, (ssl_connection * ssl, const void *bytes, int size)) \
    X(int, SSL_shutdown, (ssl_connection * ssl)) \
    X(int, SSL_key_update, (ssl_connection * ssl, int kind)) \
    X(int, SSL_get_error, (const ssl_connection *ssl, int result)) \
    X(long, SSL_get_verify_result, (const ssl_connection *ssl)) \
    X(const char *, X509_verify_cert_error_string, (long result)) \
    X(ssl_session *, SSL_SESSION_new, (void)) \
    X(void, SSL_SESSION_free, (ssl_session * session)) \
    X(int, SSL_SESSION_set1_master_key, (ssl_session * session, const unsigned char *key, size_t size)) \
    X(int, SSL_SESSION_set_cipher, (ssl_session * session, const void *cipher)) \
    X(int, SSL_SESSION_set_protocol_version, (ssl_session * session, int version)) \
    X(const void *, SSL_CIPHER_find, (ssl_connection * ssl, const unsigned char *number)) \
    X(const void *, BIO_s_mem, (void)) \
    X(ssl_bytes *, BIO_new, (const void *kind)) \
    X(int, BIO_free, (ssl_bytes * bytes)) \
    X(int, BIO_read, (ssl_bytes * bytes, void *buffer, int size)) \
    X(int, BIO_write, (ssl_bytes * bytes, const void *buffer, int size)) \
    X(void, ERR_clear_error, (void)) \
    X(unsigned long, ERR_peek_error, (void)) \
    X(const char *, ERR_reason_error_string, (unsigned long error))

/* Numbers of OpenSSL and of RFC 8446. */
enum {
    CTRL_MODE = 33,
    CTRL_SESSION_CACHE = 44,
    CTRL_SERVER_NAME = 55,
    CTRL_OLDEST_VERSION = 123,
    MODE_PARTIAL_WRITE = 1,
    MODE_MOVING_BUFFER = 2,
    MODE_RELEASE_BUFFERS = 0x10,
    VERIFY_PEER = 1,
    VERIFY_FAIL_IF_NONE = 2,
    FILE_PEM = 1,
    TLS_1_3 = 0x0304,
    ERROR_WANT_READ = 2,
    ERROR_WANT_WRITE = 3,
    ERROR_ENDED = 6,
    UPDATE_OURS = 0,
    REASON_MASK = 0xfff,
    REASON_VERIFY_FAILED = 134,
    REASON_NO_CERTIFICATE = 199,
    REASON_WRONG_BINDER = 253,
    REASON_ALERT = 1000, /* and the alert's number */
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_ILLEGAL_PARAMETER = 47,
    ALERT_UNKNOWN_AUTHORITY = 48,
    ALERT_DECRYPT_ERROR = 51,
    ALERT_UNKNOWN_IDENTITY = 115,
    ALERT_CERTIFICATE_REQUIRED = 116,
};

/* What the key is used for, so that the same key can serve another purpose too. */
#define KEY_PURPOSE "kin: pre-shared key of TLS 1.3"
#define IDENTITY    "kin"
#define SECRET_SIZE 32

/* Both with SHA-256, as the secret is for. */
#define SUITES_BY_KEY "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

/* AES-GCM is good for 2^24.5 records of 2^14 bytes with one key (RFC 8446, 5.5). */
#define UPDATE_AFTER (UINT64_C(1) << 36)

struct kin__tls_context {
    ssl_context *ssl;
    bool accepts;
    bool by_key;
    uint64_t update_after;
    uint8_t secret[SECRET_SIZE];
};

struct kin__tls {
    ssl_connection *ssl;
    ssl_bytes *in;  /* of `ssl` */
    ssl_bytes *out; /* likewise */
    bool by_key;
    bool failed; /* nothing more is said */
    uint64_t update_after;
    uint64_t written; /* bytes, with the key that is used now */
    uint8_t secret[SECRET_SIZE];
    char why[KIN__TLS_WHY];
};

/* ---- loading ---------------------------------------------------------------------------------------- */

#define FUNCTION_MEMBER(result, name, parameters) result(*name) parameters;
static struct {
    pthread_once_t once;
    int result;
    FUNCTIONS(FUNCTION_MEMBER)
} library = {.once = PTHREAD_ONCE_INIT, .result = KIN_ELIBRARY};
#undef FUNCTION_MEMBER

static void load(void)
{
    /* What libssl needs of libcrypto is found through it. */
    void *loaded = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (loaded == NULL) loaded = dlopen("libssl.so.1.1", RTLD_NOW | RTLD_LOCAL);
    if (loaded == NULL) return;
    kin__openssl_keep(loaded);
#define FUNCTION_LOAD(result, name, parameters) \
    if ((*(void **)&library.name = dlsym(loaded, #name)) == NULL) return;
    FUNCTIONS(FUNCTION_LOAD)
#undef FUNCTION_LOAD
    library.result = 0;
}

/* ---- errors ----------------------------------------------------------------------------------------- */

static void say(char why[KIN__TLS_WHY], const char *first, const char *second)
{
    snprintf(why, KIN__TLS_WHY, second != NULL ? "%s: %s" : "%s", first, second);
}

static const char *reason_of(unsigned long error)
{
    const char *text = error != 0 ? library.ERR_reason_error_string(error) : NULL;
    return text != NULL ? text : "failed for a reason unknown to OpenSSL";
}

static bool is_certificate_alert(unsigned alert)
{
    return (alert >= ALERT_BAD_CERTIFICATE && alert < ALERT_ILLEGAL_PARAMETER) ||
           alert == ALERT_UNKNOWN_AUTHORITY || alert == ALERT_CERTIFICATE_REQUIRED;
}

/* So the other side, or the nearer one, says that the keys are not the same. */
static bool is_key_reason(unsigned reason)
{
    return reason == REASON_WRONG_BINDER || reason == REASON_ALERT + ALERT_HANDSHAKE_FAILURE ||
           reason == REASON_ALERT + ALERT_ILLEGAL_PARAMETER || reason == REASON_ALERT + ALERT_DECRYPT_ERROR ||
           reason == REASON_ALERT + ALERT_UNKNOWN_IDENTITY;
}

/* The error of a call that has failed with `result`; -EAGAIN, or 0 at the end. */
static int error_of(struct kin__tls *tls, int result)
{
    int kind = library.SSL_get_error(tls->ssl, result);
    if (kind == ERROR_WANT_READ || kind == ERROR_WANT_WRITE) return -EAGAIN;
    if (kind == ERROR_ENDED) return 0;
    tls->failed = true;
    unsigned long error = library.ERR_peek_error();
    unsigned reason = (unsigned)error & REASON_MASK;
    if (tls->by_key && reason == REASON_VERIFY_FAILED) {
        say(tls->why, "the other side shows a certificate and does not know the key", NULL);
        return KIN_EAUTHENTICATION;
    }
    if (tls->by_key && is_key_reason(reason)) {
        say(tls->why, "the other side has another key", NULL);
        return KIN_EAUTHENTICATION;
    }
    if (reason == REASON_VERIFY_FAILED) {
        long verified = library.SSL_get_verify_result(tls->ssl);
        say(tls->why, reason_of(error), library.X509_verify_cert_error_string(verified));
        return KIN_ECERTIFICATE;
    }
    say(tls->why, reason_of(error), NULL);
    return reason == REASON_NO_CERTIFICATE ||
                   (reason >= REASON_ALERT && is_certificate_alert(reason - REASON_ALERT))
               ? KIN_ECERTIFICATE
               : KIN_ETLS;
}

/* ---- the key ---------------------------------------------------------------------------------------- */

/* A session that stands for our secret; its one reference goes to OpenSSL.  NULL: no memory. */
static ssl_session *session_of(ssl_connection *ssl)
{
    static const unsigned char suite[2] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */
    const struct kin__tls *tls = library.SSL_get_ex_data(ssl, 0);
    ssl_session *session = library.SSL_SESSION_new();
    if (session == NULL) return NULL;
    const void *cipher = library.SSL_CIPHER_find(ssl, suite);
    if (cipher != NULL && library.SSL_SESSION_set1_master_key(session, tls->secret, SECRET_SIZE) == 1 &&
        library.SSL_SESSION_set_cipher(session, cipher) == 1 &&
        library.SSL_SESSION_set_protocol_version(session, TLS_1_3) == 1)
        return session;
    library.SSL_SESSION_free(session);
    return NULL;
}

static int find_session(ssl_connection *ssl, const unsigned char *identity, size_t size,
                        ssl_session **session)
{
    *session = NULL;
    if (size != strlen(IDENTITY) || memcmp(identity, IDENTITY, size) != 0) return 1;
    *session = session_of(ssl);
    return *session != NULL;
}

static int offer_session(ssl_connection *ssl, const void *digest, const unsigned char **identity,
                         size_t *size, ssl_session **session)
{
    (void)digest; /* SHA-256: no suite has another */
    *identity = (const unsigned char *)IDENTITY;
    *size = strlen(IDENTITY);
    *session = session_of(ssl);
    return *session != NULL;
}

/* ---- the context ------------------------------------------------------------------------------------ */

static _Thread_local bool password_was_asked;

/* OpenSSL would ask at the terminal. */
static int know_no_password(char *buffer, int size, int writing, void *data)
{
    (void)buffer, (void)size, (void)writing, (void)data;
    password_was_asked = true;
    return -1;
}

/* `what` a file should hold could not be used: says why. */
static int file_error(const char *file, const char *what, char why[KIN__TLS_WHY])
{
    int rc = access(file, R_OK) < 0 ? -errno : KIN_ETLS;
    const char *reason = password_was_asked ? "needs a password" : reason_of(library.ERR_peek_error());
    /* What OpenSSL says where it finds no such thing in the file. */
    if (strcmp(reason, "unsupported") == 0 || strcmp(reason, "no start line") == 0)
        reason = "there is none in the file";
    if (rc == KIN_ETLS)
        snprintf(why, KIN__TLS_WHY, "%s: %s: %s", file, what, reason);
    else
        say(why, file, kin_strerror(rc));
    return rc;
}

static int show_certificate(ssl_context *ssl, const struct kin__tls_options *options, char why[KIN__TLS_WHY])
{
    const char *key = options->private_key != NULL ? options->private_key : options->certificate;
    if (options->certificate == NULL) return 0;
    if (library.SSL_CTX_use_certificate_chain_file(ssl, options->certificate) != 1)
        return file_error(options->certificate, "certificate", why);
    /* It compares the two. */
    if (library.SSL_CTX_use_PrivateKey_file(ssl, key, FILE_PEM) != 1)
        return file_error(key, "private key", why);
    return 0;
}

static int demand_certificate(ssl_context *ssl, const struct kin__tls_options *options,
                              char why[KIN__TLS_WHY])
{
    if (options->accepts && options->authorities == NULL && !options->system_authorities) return 0;
    if (options->authorities != NULL) {
        if (library.SSL_CTX_load_verify_locations(ssl, options->authorities, NULL) != 1)
            return file_error(options->authorities, "authorities", why);
        void *names = options->accepts ? library.SSL_load_client_CA_file(options->authorities) : NULL;
        if (names != NULL) library.SSL_CTX_set_client_CA_list(ssl, names);
    }
    if (options->system_authorities || options->authorities == NULL)
        library.SSL_CTX_set_default_verify_paths(ssl);
    library.SSL_CTX_set_verify(ssl, VERIFY_PEER | VERIFY_FAIL_IF_NONE, NULL);
    return 0;
}

static int use_key(struct kin__tls_context *context, const struct kin__tls_options *options,
                   char why[KIN__TLS_WHY])
{
    if (options->key == NULL || options->key_size == 0) {
        say(why, "neither a certificate nor a key is given", NULL);
        return -EINVAL;
    }
    uint8_t mac[KIN__HMAC_MOST];
    int rc =
        kin__os_hmac(KIN__SHA256, options->key, options->key_size, KEY_PURPOSE, strlen(KEY_PURPOSE), mac);
    if (rc < 0) {
        say(why, kin_strerror(rc), NULL);
        return rc;
    }
    memcpy(context->secret, mac, sizeof context->secret);
    explicit_bzero(mac, sizeof mac);
    library.SSL_CTX_set_ciphersuites(context->ssl, SUITES_BY_KEY);
    if (options->accepts) {
        library.SSL_CTX_set_psk_find_session_callback(context->ssl, find_session);
        return 0;
    }
    library.SSL_CTX_set_psk_use_session_callback(context->ssl, offer_session);
    /* Believes no certificate: see error_of. */
    library.SSL_CTX_set_verify(context->ssl, VERIFY_PEER, NULL);
    return 0;
}

static bool means_certificates(const struct kin__tls_options *options)
{
    if (options->certificate != NULL) return true;
    return !options->accepts &&
           (options->authorities != NULL || options->system_authorities || options->key == NULL);
}

static int fill(struct kin__tls_context *context, const struct kin__tls_options *options,
                char why[KIN__TLS_WHY])
{
    library.ERR_clear_error();
    password_was_asked = false;
    context->accepts = options->accepts;
    context->by_key = !means_certificates(options);
    context->update_after = options->update_after > 0 ? options->update_after : UPDATE_AFTER;
    context->ssl =
        library.SSL_CTX_new(options->accepts ? library.TLS_server_method() : library.TLS_client_method());
    if (context->ssl == NULL) return -ENOMEM;
    library.SSL_CTX_ctrl(context->ssl, CTRL_MODE,
                         MODE_PARTIAL_WRITE | MODE_MOVING_BUFFER | MODE_RELEASE_BUFFERS, NULL);
    library.SSL_CTX_ctrl(context->ssl, CTRL_SESSION_CACHE, 0, NULL);
    library.SSL_CTX_set_num_tickets(context->ssl, 0);
    library.SSL_CTX_set_default_passwd_cb(context->ssl, know_no_password);
    if (library.SSL_CTX_ctrl(context->ssl, CTRL_OLDEST_VERSION, TLS_1_3, NULL) != 1) {
        say(why, "this OpenSSL has no TLS 1.3", NULL);
        return KIN_ETLS;
    }
    if (context->by_key) return use_key(context, options, why);
    int rc = show_certificate(context->ssl, options, why);
    return rc < 0 ? rc : demand_certificate(context->ssl, options, why);
}

int kin__tls_context_make(struct kin__tls_context **made, const struct kin__tls_options *options,
                          char why[KIN__TLS_WHY])
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc == 0 && pthread_once(&library.once, load) == 0) rc = library.result;
    say(why, kin_strerror(rc), NULL);
    if (rc < 0) return rc;
    struct kin__tls_context *context = kin__os_calloc(1, sizeof *context);
    if (context == NULL) return -ENOMEM;
    say(why, kin_strerror(-ENOMEM), NULL);
    rc = fill(context, options, why);
    if (rc < 0)
        kin__tls_context_free(context);
    else
        *made = context;
    return rc;
}

void kin__tls_context_free(struct kin__tls_context *context)
{
    if (context == NULL) return;
    if (context->ssl != NULL) library.SSL_CTX_free(context->ssl);
    explicit_bzero(context->secret, sizeof context->secret);
    kin__os_free(context);
}

bool kin__tls_by_key(const struct kin__tls_context *context)
{
    return context->by_key;
}

/* ---- a connection ----------------------------------------------------------------------------------- */

static bool expect_name(ssl_connection *ssl, const char *name)
{
    if (library.X509_VERIFY_PARAM_set1_ip_asc(library.SSL_get0_param(ssl), name) == 1) return true;
    library.SSL_ctrl(ssl, CTRL_SERVER_NAME, 0, (void *)(uintptr_t)name);
    return library.SSL_set1_host(ssl, name) == 1;
}

static bool connect_parts(struct kin__tls *tls, const struct kin__tls_context *context, const char *name)
{
    tls->ssl = library.SSL_new(context->ssl);
    tls->in = library.BIO_new(library.BIO_s_mem());
    tls->out = library.BIO_new(library.BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
        if (tls->in != NULL) library.BIO_free(tls->in);
        if (tls->out != NULL) library.BIO_free(tls->out);
        return false;
    }
    library.SSL_set_bio(tls->ssl, tls->in, tls->out);
    if (context->accepts)
        library.SSL_set_accept_state(tls->ssl);
    else
        library.SSL_set_connect_state(tls->ssl);
    return library.SSL_set_ex_data(tls->ssl, 0, tls) == 1 &&
           (name == NULL || tls->by_key || context->accepts || expect_name(tls->ssl, name));
}

int kin__tls_make(struct kin__tls **made, const struct kin__tls_context *context, const char *name)
{
    struct kin__tls *tls = kin__os_calloc(1, sizeof *tls);
    if (tls == NULL) return -ENOMEM;
    tls->by_key = context->by_key;
    tls->update_after = context->update_after;
    memcpy(tls->secret, context->secret, sizeof tls->secret);
    if (!connect_parts(tls, context, name)) {
        kin__tls_free(tls);
        return -ENOMEM;
    }
    *made = tls;
    return 0;
}

void kin__tls_free(struct kin__tls *tls)
{
    if (tls == NULL) return;
    if (tls->ssl != NULL) library.SSL_free(tls->ssl);
    explicit_bzero(tls->secret, sizeof tls->secret);
    kin__os_free(tls);
}

static int at_most(size_t size)
{
    return size < INT_MAX ? (int)size : INT_MAX;
}

int kin__tls_feed(struct kin__tls *tls, const void *bytes, size_t size)
{
    int rc = kin__os_fault(KIN__FAULT_MEMORY);
    if (rc < 0 || size > INT_MAX) return -ENOMEM;
    return size == 0 || library.BIO_write(tls->in, bytes, (int)size) == (int)size ? 0 : -ENOMEM;
}

size_t kin__tls_drain(struct kin__tls *tls, void *buffer, size_t capacity)
{
    int got = capacity > 0 ? library.BIO_read(tls->out, buffer, at_most(capacity)) : 0;
    return got > 0 ? (size_t)got : 0;
}

int kin__tls_handshake(struct kin__tls *tls)
{
    if (tls->failed) return KIN_ETLS;
    library.ERR_clear_error();
    int rc = library.SSL_do_handshake(tls->ssl);
    if (rc != 1) {
        rc = error_of(tls, rc);
        if (rc != 0) return rc == -EAGAIN ? 0 : rc;
        tls->failed = true;
        say(tls->why, "the other side ended the handshake", NULL);
        return KIN_ETLS;
    }
    if (tls->by_key && library.SSL_session_reused(tls->ssl) != 1) {
        tls->failed = true;
        say(tls->why, "the other side did not use the key", NULL);
        return KIN_EAUTHENTICATION;
    }
    explicit_bzero(tls->secret, sizeof tls->secret);
    return 1;
}

long kin__tls_write(struct kin__tls *tls, const void *bytes, size_t size)
{
    if (size == 0) return 0;
    if (tls->failed) return KIN_ETLS;
    library.ERR_clear_error();
    if (tls->written >= tls->update_after) {
        library.SSL_key_update(tls->ssl, UPDATE_OURS);
        tls->written = 0;
    }
    int taken = library.SSL_write(tls->ssl, bytes, at_most(size));
    if (taken > 0) {
        tls->written += (uint64_t)taken;
        return taken;
    }
    int rc = error_of(tls, taken);
    /* It would not have to wait for anything, and has said no end. */
    return rc < 0 && rc != -EAGAIN ? rc : KIN_ETLS;
}

long kin__tls_read(struct kin__tls *tls, void *buffer, size_t capacity)
{
    if (tls->failed) return KIN_ETLS;
    library.ERR_clear_error();
    int got = library.SSL_read(tls->ssl, buffer, at_most(capacity));
    return got > 0 ? got : error_of(tls, got);
}

bool kin__tls_readable(struct kin__tls *tls)
{
    char first;
    if (tls->failed) return true;
    library.ERR_clear_error();
    int got = library.SSL_peek(tls->ssl, &first, 1);
    if (got > 0) return true;
    int kind = library.SSL_get_error(tls->ssl, got);
    return kind != ERROR_WANT_READ && kind != ERROR_WANT_WRITE;
}

void kin__tls_end(struct kin__tls *tls)
{
    if (tls->failed) return;
    library.ERR_clear_error();
    library.SSL_shutdown(tls->ssl);
}

const char *kin__tls_why(const struct kin__tls *tls)
{
    return tls->why;
}
