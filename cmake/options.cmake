# Compiler settings and the two functions every folder uses to declare its targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()

add_library(moescope_options INTERFACE)
target_include_directories(moescope_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(moescope_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
    # GCC 12 reports false positives of these inside the standard library at -O2 and above.
    -Wno-error=maybe-uninitialized -Wno-error=stringop-overflow -Wno-error=array-bounds -Wno-error=restrict
    -Wno-error=stringop-overread -Wno-error=free-nonheap-object)
target_compile_definitions(moescope_options INTERFACE MOESCOPE_VERSION="${PROJECT_VERSION}")
target_link_libraries(moescope_options INTERFACE Threads::Threads)
if(MOESCOPE_SANITIZE STREQUAL "address")
    target_compile_options(moescope_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(moescope_options INTERFACE -fsanitize=address,undefined)
elseif(MOESCOPE_SANITIZE STREQUAL "thread")
    target_compile_options(moescope_options INTERFACE -fsanitize=thread -g)
    target_link_options(moescope_options INTERFACE -fsanitize=thread)
endif()

# moescope_library(<target> SOURCES a.cpp ... LINKS lib ...): a static library of one folder.
function(moescope_library name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC moescope_options ${arg_LINKS})
endfunction()

# moescope_test(<target> SOURCES a.cpp ... LINKS lib ... [LABELS label ...] [TIMEOUT seconds]): a GoogleTest program, one ctest
# entry per program. Golden files and other data are found through tests/paths.hpp.
function(moescope_test name)
    cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
    find_package(GTest REQUIRED)
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE moescope_options ${arg_LINKS} moescope_test_paths GTest::gtest GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(MOESCOPE_SANITIZE STREQUAL "thread")
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 6")  # real models are that much slower under ThreadSanitizer
    elseif(MOESCOPE_SANITIZE)
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 3")
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}"
        ENVIRONMENT "MOESCOPE_CACHE=${MOESCOPE_CACHE}")
endfunction()
