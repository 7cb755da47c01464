/* L19: a function of two arrays, item by item, as Python's starmap over zip(a, b). */
#include <stdio.h>

#include <kin.h>

#include "check.h"

static int power(const double *base, const int *exponent, double *out)
{
    *out = 1;
    for (int i = 0; i < *exponent; i++) *out *= *base;
    return 0;
}
KIN_STARMAP2(power, double, int, double)

int main(void)
{
    const double bases[] = {2, 3, 10, 0.5};
    const int exponents[] = {10, 4, 6, 2};
    double powers[4];
    kin_pool *pool = NULL;
    check(kin_pool_open(&pool, &(kin_pool_options){.workers = 2}));
    check(kin_pool_starmap(pool, KIN_FN(power), (const void *[]){bases, exponents}, powers, 4, KIN_FOREVER,
                           NULL));
    for (int i = 0; i < 4; i++) printf("%g to the power of %d is %g\n", bases[i], exponents[i], powers[i]);
    check(kin_pool_free(pool));
    return EXIT_SUCCESS;
}
