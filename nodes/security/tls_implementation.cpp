// Asio's own code for TLS, compiled once here (BOOST_ASIO_SEPARATE_COMPILATION), as base/asio_implementation.cpp does
// with the rest.
#include <boost/asio/ssl/impl/src.hpp>
