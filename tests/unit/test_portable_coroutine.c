/* test_portable_coroutine.c: test_coroutine.c with the switch for processors that there is no assembly for. */
#include "test_coroutine.c"
