/* say.h: what the tool says on standard error, and the exit codes it ends with. */
#ifndef SAY_H
#define SAY_H

#include <stddef.h>

/* 0 to 100 is the number of jobs that failed. */
enum exit_code { EXIT_MANY = 101, EXIT_OTHER = 255 };

/* What every message begins with: "kin", or "kin map". */
void say_as(const char *name);
/* Called before each message, so that a progress line is out of its way; NULL: nothing. */
void say_after(void (*hide)(void));
/* Writes one line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *say_name(void);

/* What strerror says, beginning with a small letter; valid until the next call. */
const char *error_words(int error);
/* "SIGSEGV" for 11; valid until the next call. */
const char *signal_name(int signal);
/* An input as it may stand in a message: control characters escaped, at most 200 bytes. Valid
 * until the next call. */
const char *printable(const char *bytes, size_t size);

#endif
