/* words.h: coroutines that wait for a word in memory to change: whatever sleeps in kin. */
#ifndef KIN_COROUTINE_WORDS_H
#define KIN_COROUTINE_WORDS_H

#include "coroutine/loop.h"

/* How many coroutines wait for words. */
size_t kin__words_waited(const struct kin__loop *loop);
/* Wakes those whose words have changed; 1 when there was one. */
int kin__words_look(struct kin__loop *loop);
/* To be asked before the loop sleeps, and before anybody else does for its descriptor: when it has to look
 * again at the latest.  What changes before then rings the socket, where that suffices. */
kin_deadline kin__words_next(struct kin__loop *loop);
/* A descriptor of the loop's set was found readable.  False: it is none of those that tell of words. */
bool kin__words_rung(struct kin__loop *loop, int descriptor);
void kin__words_close(struct kin__loop *loop);
/* In a child, whose parent's the loop is. */
void kin__words_forget(struct kin__loop *loop);

/* What kin__sleep and kin__sleep_private do, for the running coroutine. */
struct kin__wait_point;
int kin__words_sleep(struct kin__wait_point *point, uint32_t expected, kin_deadline deadline);
int kin__words_sleep_private(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline);

#endif
