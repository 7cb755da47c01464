/* runner_stacks.c: stacks.c, which test programs have too, for the runner. */
#include "stacks.c"
