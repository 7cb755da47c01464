/* certificates.h: certificates for the tests of TLS, made by the program openssl in the working directory:
 *
 *     authority.pem              signs the others
 *     server.pem, server.key     for localhost, 127.0.0.1 and ::1
 *     client.pem, client.key     for nobody's name
 *     alone.pem, alone.key       for localhost, signed by itself
 *     locked.key                 server.key, with a password
 */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

/* Skips the case when there is no such program. */
void certificates_make(void);
void certificates_remove(void);

#endif
