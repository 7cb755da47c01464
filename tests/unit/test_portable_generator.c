/* test_portable_generator.c: test_generator.c with the switch for processors that there is no assembly for. */
#include "test_generator.c"
