// OpenSSL for Swift: its headers, and the function-like macros as functions.
#ifndef HDPROXY_OPENSSL_H
#define HDPROXY_OPENSSL_H

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
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

static inline int hd_set_groups(SSL_CTX *context, const char *names) {
    return (int)SSL_CTX_set1_groups_list(context, names);
}
static inline void hd_clear_mode(SSL_CTX *context, long mode) {
    SSL_CTX_clear_mode(context, mode);
}
static inline void hd_set_read_ahead(SSL_CTX *context, int isOn) {
    SSL_CTX_set_read_ahead(context, isOn);
}
// Sessions live in tickets alone.
static inline void hd_keep_no_sessions(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

// Sessions.
static inline int hd_set_server_name(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

// Options are 64 bits wide and cast by a macro that Swift does not see.
static inline uint64_t hd_no_renegotiation(void) { return SSL_OP_NO_RENEGOTIATION; }
static inline void hd_read_ahead_alone(SSL *session) {
    SSL_clear_mode(session, SSL_MODE_AUTO_RETRY);
    SSL_set_read_ahead(session, 1);
}
static inline uint64_t hd_kernel_tls(void) { return SSL_OP_ENABLE_KTLS; }
static inline uint64_t hd_listener_options(void) {
    return SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
        | SSL_OP_PRIORITIZE_CHACHA;
}
static inline int hd_kernel_sends(SSL *session) { return BIO_get_ktls_send(SSL_get_wbio(session)) > 0; }

// A BIO's word that the socket has to be waited for.
static inline void hd_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void hd_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline void hd_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

// Names of a certificate: the text of a DNS name, its length or -1 where the name at `index` is of another kind.
static inline int hd_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline int hd_dns_name(const GENERAL_NAMES *names, int index, const unsigned char **text) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    if (name->type != GEN_DNS) return -1;
    *text = ASN1_STRING_get0_data(name->d.dNSName);
    return ASN1_STRING_length(name->d.dNSName);
}
static inline STACK_OF(X509) *hd_new_certificates(void) { return sk_X509_new_null(); }
static inline int hd_push_certificate(STACK_OF(X509) *all, X509 *certificate) {
    return X509_up_ref(certificate) == 1 && sk_X509_push(all, certificate) > 0;
}
static inline void hd_free_certificates(STACK_OF(X509) *all) { sk_X509_pop_free(all, X509_free); }
static inline X509 *hd_first_certificate(STACK_OF(X509) *all) { return sk_X509_value(all, 0); }
static inline int hd_print_name(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}

// Errors.
static inline int hd_error_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int hd_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int hd_error_is_system(unsigned long code) { return ERR_SYSTEM_ERROR(code); }

// Keys and memory.
static inline EVP_PKEY *hd_new_p256_key(void) { return EVP_EC_gen("P-256"); }
static inline EVP_PKEY *hd_new_rsa_key(void) { return EVP_RSA_gen(2048); }
static inline long hd_memory(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

// Tickets are sealed with HMAC-SHA256, whose key has 32 bytes.
static inline int hd_set_ticket_mac(EVP_MAC_CTX *mac, void *key) {
    OSSL_PARAM parameters[3];
    parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, 32);
    parameters[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0);
    parameters[2] = OSSL_PARAM_construct_end();
    return EVP_MAC_CTX_set_params(mac, parameters);
}

#endif
