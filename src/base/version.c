/* version.c: which kin is linked, as against which kin's headers were compiled. */
#include <kin/version.h>

const char *kin_version(void)
{
    return KIN_VERSION;
}
