/* worker.h: the command `kin worker`. */
#ifndef WORKER_H
#define WORKER_H

/* words[0] is "worker".  Returns the exit code. */
int worker_main(int count, char **words);

#endif
