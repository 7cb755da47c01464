/* nothing.c: a program that ends at once; linked without shared libraries, it is the least that exec
 * can be asked for. */
int main(void)
{
    return 0;
}
