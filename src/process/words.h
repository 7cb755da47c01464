/* words.h: in words, why the calling thread's last start of a process or a command failed. */
#ifndef KIN_PROCESS_WORDS_H
#define KIN_PROCESS_WORDS_H

#include <stddef.h>

#include <kin/process.h>

/* The words for this thread's error, cut where they are too long; `fail` adds what kin_strerror says.
 * Both return `error`. */
int kin__start_say(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
int kin__start_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kin__start_say_nothing(void);
/* The last line that is not empty, of `*size` bytes, which becomes its length. */
const char *kin__last_line(const char *text, size_t *size);
/* "make exited with 2" or "make was killed by SIGSEGV, core dumped", and the last line of `tail`. */
void kin__start_say_end(const char *name, const kin_exit_status *status, const char *tail, size_t size);

#endif
