// OpenSSL for Swift: its headers, and the function-like macros as functions.
#ifndef HDPROXY_OPENSSL_H
#define HDPROXY_OPENSSL_H

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// Contexts.
static inline int hd_set_min_version(SSL_CTX *context, int version) {
    return (int)SSL_CTX_set_min_proto_version(context, version);
}
static inline void hd_set_mode(SSL_CTX *context, long mode) {
    SSL_CTX_set_mode(context, mode);
}
static inline int hd_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

// Sessions.
static inline int hd_set_server_name(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

// Options are 64 bits wide and cast by a macro that Swift does not see.
static inline uint64_t hd_no_renegotiation(void) { return SSL_OP_NO_RENEGOTIATION; }

// Errors.
static inline int hd_error_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int hd_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int hd_error_is_system(unsigned long code) { return ERR_SYSTEM_ERROR(code); }

// Keys and memory.
static inline EVP_PKEY *hd_new_p256_key(void) { return EVP_EC_gen("P-256"); }
static inline long hd_memory(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

#endif
