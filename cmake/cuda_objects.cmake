# moescope_cuda_objects(<variable> TOOLKIT prefix SOURCES a.cu ... OPTIONS ... [COMMENT text]): the objects that nvcc makes of
# sources, into a list; headers are looked at again when they change. Plain commands, not CMake's CUDA language: that asks a toolkit
# of a layout that it knows, and keeps what it found for good. Names of sources differ.
function(moescope_cuda_objects variable)
    cmake_parse_arguments(arg "" "TOOLKIT;COMMENT" "SOURCES;OPTIONS" ${ARGN})
    find_program(CCACHE ccache)
    set(launcher)
    if(CCACHE)
        set(launcher ${CCACHE})
    endif()
    set(objects)
    foreach(source ${arg_SOURCES})
        cmake_path(GET source STEM name)
        set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
        add_custom_command(OUTPUT ${object}
            COMMAND ${launcher} ${arg_TOOLKIT}/bin/nvcc -ccbin ${CMAKE_CXX_COMPILER} ${arg_OPTIONS} -MD -MF ${object}.d -c ${source} -o ${object}
            DEPENDS ${source} ${arg_TOOLKIT}/bin/nvcc DEPFILE ${object}.d COMMENT "${arg_COMMENT}: ${name}" VERBATIM)
        list(APPEND objects ${object})
    endforeach()
    set(${variable} ${objects} PARENT_SCOPE)
endfunction()
