/* serve.h: the command `kin serve`. */
#ifndef SERVE_H
#define SERVE_H

/* words[0] is "serve".  Returns the exit code. */
int serve_main(int count, char **words);

#endif
