// Asio's own code, compiled once here (BOOST_ASIO_SEPARATE_COMPILATION), so that no other file pays for it.
#include <boost/asio/impl/src.hpp>
