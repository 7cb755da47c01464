/* decimal.h: numbers in texts, where printf is too much: it needs another page of the stack, and each page
 * that a process writes to around a fork is copied.
 */
#ifndef KIN_BASE_DECIMAL_H
#define KIN_BASE_DECIMAL_H

#include <stddef.h>
#include <string.h>

/* Appends a number to a string that has room for ten digits more. */
static inline void kin__decimal_append(char *text, unsigned number)
{
    char digits[10];
    size_t count = 0, length = strlen(text);
    do digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0) text[length++] = digits[--count];
    text[length] = '\0';
}

#endif
