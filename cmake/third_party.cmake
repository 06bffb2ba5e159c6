# Libraries from Debian as imported targets, and those that ./run builds into a prefix.
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenMP)

function(moescope_debian_library target header library)
    find_path(${target}_INCLUDE ${header} REQUIRED)
    find_library(${target}_LIBRARY ${library} REQUIRED)
    add_library(${target} INTERFACE IMPORTED)
    target_link_libraries(${target} INTERFACE ${${target}_LIBRARY})
endfunction()
moescope_debian_library(dnnl dnnl.h dnnl)
moescope_debian_library(sqlite3 sqlite3.h sqlite3)
moescope_debian_library(zstd zstd.h zstd)
moescope_debian_library(sentencepiece sentencepiece_processor.h sentencepiece)
moescope_debian_library(sentencepiece_train sentencepiece_trainer.h sentencepiece_train)
moescope_debian_library(utf8proc utf8proc.h utf8proc)  # Unicode's composed form
moescope_debian_library(crypto openssl/evp.h crypto)  # SHA-256
moescope_debian_library(ssl openssl/ssl.h ssl)        # models on servers
find_package(fmt REQUIRED)
find_package(Boost 1.81 REQUIRED)                     # Asio and Beast, header only

set(tp ${MOESCOPE_THIRD_PARTY})
if(NOT EXISTS ${tp}/lib/libllama.a)
    message(WARNING "no third-party prefix at '${tp}': the engine's open-weights runner and the workbench are left out; ./run builds it")
    set(MOESCOPE_HAVE_LLAMA OFF)
    set(MOESCOPE_GUI OFF CACHE BOOL "" FORCE)
    return()
endif()
set(MOESCOPE_HAVE_LLAMA ON)

add_library(llama INTERFACE IMPORTED)
target_include_directories(llama SYSTEM INTERFACE ${tp}/include/llama)
target_link_libraries(llama INTERFACE ${tp}/lib/libllama.a ${tp}/lib/libggml.a ${tp}/lib/libggml-cpu.a ${tp}/lib/libggml-base.a
    OpenMP::OpenMP_CXX Threads::Threads dl m)
# A module with another back end of ggml (kernels/ggml_module.hpp) takes ggml itself from the program that opens it.
target_link_options(llama INTERFACE "-Wl,--export-dynamic-symbol=ggml_*")
add_library(jinja INTERFACE IMPORTED)                   # llama.cpp's engine for chat templates; it aborts through ggml
target_include_directories(jinja SYSTEM INTERFACE ${tp}/include/jinja)
target_link_libraries(jinja INTERFACE ${tp}/lib/libjinja.a llama)

if(MOESCOPE_GUI)
    find_package(Freetype REQUIRED)
    pkg_check_modules(FONTCONFIG REQUIRED IMPORTED_TARGET fontconfig)
    find_package(X11 REQUIRED)
    find_package(OpenGL REQUIRED COMPONENTS OpenGL EGL)
    add_library(glfw INTERFACE IMPORTED)
    target_include_directories(glfw SYSTEM INTERFACE ${tp}/include)
    target_link_libraries(glfw INTERFACE ${tp}/lib/libglfw3.a X11::X11 Threads::Threads dl m)
    add_library(imgui INTERFACE IMPORTED)
    target_include_directories(imgui SYSTEM INTERFACE ${tp}/include/imgui)
    target_compile_definitions(imgui INTERFACE IMGUI_USER_CONFIG="moescope_imconfig.h")
    target_link_libraries(imgui INTERFACE ${tp}/lib/libimgui.a glfw Freetype::Freetype OpenGL::OpenGL)
    add_library(implot INTERFACE IMPORTED)
    target_include_directories(implot SYSTEM INTERFACE ${tp}/include/implot)
    target_link_libraries(implot INTERFACE ${tp}/lib/libimplot.a imgui)
    add_library(imgui_test_engine INTERFACE IMPORTED)   # tests only, never shipped
    target_include_directories(imgui_test_engine SYSTEM INTERFACE ${tp}/include/imgui_test_engine)
    target_link_libraries(imgui_test_engine INTERFACE ${tp}/lib/libimgui_test_engine.a imgui)
    add_library(imcmd INTERFACE IMPORTED)               # fuzzy search of the command palette
    target_include_directories(imcmd SYSTEM INTERFACE ${tp}/include/imcmd)
    target_link_libraries(imcmd INTERFACE ${tp}/lib/libimcmd.a)
    add_library(md4c INTERFACE IMPORTED)
    target_include_directories(md4c SYSTEM INTERFACE ${tp}/include)
    target_link_libraries(md4c INTERFACE ${tp}/lib/libmd4c.a)
endif()
