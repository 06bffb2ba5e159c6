// How a bundle is laid out below its folder. It is an installed tree in which bin/NAME is a starter that runs
// lib/moescope/programs/NAME with libraries of the bundle (packaging/starter.cpp).
#pragma once

namespace moescope::base {

inline constexpr const char* kPartsFolder = "lib/moescope";   ///< parts that are opened at run time, libraries
inline constexpr const char* kProgramsFolder = "programs";    ///< in kPartsFolder
inline constexpr const char* kDriverFolder = "with-drivers";  ///< libraries that drivers of the machine use too
inline constexpr const char* kCxxFolder = "cxx";              ///< libstdc++ and libgcc_s
inline constexpr const char* kLibcFolder = "glibc";           ///< the C library and its loader
inline constexpr const char* kLoader = "ld-linux-x86-64.so.2";

}  // namespace moescope::base
