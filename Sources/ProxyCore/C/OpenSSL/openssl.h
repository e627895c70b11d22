// OpenSSL for Swift: its headers, and the function-like macros as functions.
#ifndef HDPROXY_OPENSSL_H
#define HDPROXY_OPENSSL_H

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#endif
