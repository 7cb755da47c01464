/* kin/version.h: which kin this is, and the two macros every public header uses. */
#ifndef KIN_VERSION_H
#define KIN_VERSION_H

#define KIN_VERSION_MAJOR 0
#define KIN_VERSION_MINOR 1
#define KIN_VERSION_PATCH 0
#define KIN_VERSION       "0.1.0"

#define KIN_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define KIN_BEGIN extern "C" {
#define KIN_END   }
#else
#define KIN_BEGIN
#define KIN_END
#endif

KIN_BEGIN

/* kin_version returns the version of the library that is linked, such as "0.1.0".
 * The string is static.  Safe everywhere, also in a signal handler. */
KIN_API const char *kin_version(void);

KIN_END
#endif
