/* kin/error.h: the one error space.
 *
 * A function that can fail returns zero or more on success and a negative code on failure:
 * either -errno (such as -ENOMEM) or one of the codes below.  KIN_OWNER_DIED is positive
 * on purpose: it is a success that carries news.  A function that returns a pointer has no code: what
 * NULL means stands with it, and where it is said to set errno, kin_strerror(-errno) is the text. */
#ifndef KIN_ERROR_H
#define KIN_ERROR_H

#include <stddef.h>

#include <kin/version.h>

KIN_BEGIN

/* X(name, value, text).  Values never change their meaning; new ones are appended. */
#define KIN_ERRORS(X) \
    X(KIN_EMPTY, -1001, "nothing came until the deadline, or there is no more") \
    X(KIN_FULL, -1002, "the queue was full until the deadline") \
    X(KIN_ECLOSED, -1003, "closed") \
    X(KIN_ETOOSMALL, -1004, "larger than the buffer; kin_needed_size tells the size") \
    X(KIN_EFOREIGN, -1005, "not an object of this family") \
    X(KIN_ENOTCODE, -1006, "the function is not in the code of this program") \
    X(KIN_EBROKEN, -1007, "the pool's supervisor has died") \
    X(KIN_EFAILED, -1008, "the task failed; kin_result_failure tells how") \
    X(KIN_ENOTREADY, -1009, "the result is not there yet") \
    X(KIN_ESLOTS, -1010, "the family's process table is full") \
    X(KIN_EHELD, -1011, "too many messages or locks are held at once") \
    X(KIN_ELAYOUT, -1012, "the family was made by another version of kin") \
    X(KIN_ENAMESPACE, -1013, "the family lives in another pid namespace or another boot") \
    X(KIN_ENOREGION, -1014, "no address range is free for the family's memory") \
    X(KIN_EKERNEL, -1015, "the kernel lacks robust futexes or memfd_create") \
    X(KIN_EDESCRIPTOR, -1016, "the descriptor of the family's memory was closed by the program") \
    X(KIN_EINITIALIZER, -1017, "the initializer of a worker failed") \
    X(KIN_ESTARTED, -1018, "the family's memory is already in use; too late for options") \
    X(KIN_ENOTCHILD, -1019, "only the process that started a process may do this") \
    X(KIN_ESTATE, -1020, "not in this state: close or terminate the pool before joining it") \
    X(KIN_EOVER, -1021, "too late: the task is over") \
    X(KIN_EKIND, -1034, "a value of another kind") \
    X(KIN_EPICKLE, -1035, "not a pickle, or cut short") \
    X(KIN_EREFUSED, -1036, "holds what kin does not read") \
    X(KIN_EREMOTE, -1037, "the manager raised an exception; kin_manager_error returns it") \
    X(KIN_EAUTHENTICATION, -1040, "authentication failed: the other side has another key") \
    X(KIN_EPROTOCOL, -1041, "the other side does not speak the protocol of connections") \
    X(KIN_ELIBRARY, -1042, "OpenSSL (libcrypto, libssl; Debian: libssl3) is not installed") \
    X(KIN_ETRUNCATED, -1043, "the message ends in its middle: its sender ended") \
    X(KIN_ENOTGIVEN, -1044, "not given to this process: name it in kin_process_options") \
    X(KIN_EADDRESS, -1045, \
      "no address: tcp://HOST:PORT, tls://HOST:PORT, unix:/PATH or unix:@NAME is expected") \
    X(KIN_EHOST, -1046, "the host is not known, or no name server answers") \
    X(KIN_ETLS, -1047, "TLS failed; kin_tls_text tells how") \
    X(KIN_ECERTIFICATE, -1048, "a certificate was refused; kin_tls_text tells why") \
    X(KIN_EPRIVATE, -1049, "only the process that opened it can use it") \
    X(KIN_ESILENT, -1050, "the other side's machine does not answer any more") \
    X(KIN_ESNAPSHOT, -1059, "the snapshot was refused; kin_process_error tells why") \
    X(KIN_ENOTMAIN, -1055, "the program's main does not begin with kin_main(&argc, &argv)") \
    X(KIN_EPOINTER, -1056, "private memory is not in a spawned child: give bytes, a value or family memory") \
    X(KIN_EFUNCTION, -1057, "there is no function of that name, or its library has no build id") \
    X(KIN_ESERVER, -1058, "the process ended before it could begin, or the server that starts it did") \
    X(KIN_EUNREPAIRED, -1060, "the last owner died, and what the lock protects was not repaired") \
    X(KIN_EINDEX, -1061, "the index is beyond the end of the array") \
    X(KIN_ETYPE, -1062, "of another type than the items of the array") \
    X(KIN_ERELEASED, -1070, "released more often than acquired") \
    X(KIN_EBARRIER, -1071, "the barrier is broken; kin_barrier_cause tells why") \
    X(KIN_ENOTASK, -1073, "every task that was taken is done already") \
    X(KIN_ECOMMAND, -1080, "the command failed; kin_subprocess_error tells how") \
    /* a line for each, and this one last */

enum kin_error {
#define KIN_ERROR_ENUM(name, value, text) name = value,
    KIN_ERRORS(KIN_ERROR_ENUM)
#undef KIN_ERROR_ENUM
    /* Positive: the call succeeded, and the previous owner died while it held the lock. */
    KIN_OWNER_DIED = 1
};

/* kin_strerror returns the text of an error code, such as "closed" for KIN_ECLOSED or
 * what strerror says for -errno; but what those mean here for -ETIMEDOUT and -ELOOP.  Success codes and unknown ones have texts too.  The
 * string is static or belongs to the calling thread until its next call.  Does not block. */
KIN_API const char *kin_strerror(int code);

/* kin_error_name returns the name of an error code, such as "KIN_ECLOSED" or "EINVAL",
 * "success" for 0, and "unknown" for what is none.  The string is static.  Safe everywhere. */
KIN_API const char *kin_error_name(int code);

/* kin_needed_size returns the size in bytes that the calling thread's most recent call
 * which failed with KIN_ETOOSMALL would have needed; 0 before there was one.  Does not
 * block; safe in a signal handler. */
KIN_API size_t kin_needed_size(void);

KIN_END
#endif
