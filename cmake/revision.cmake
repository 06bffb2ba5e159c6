# Run with each build: the revision of the sources as a header, which changes only with the revision. Empty outside of a git
# checkout. SOURCE: the project's folder; OUT: the header.
set(revision "")
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS ${SOURCE}/.git)
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} describe --always --abbrev=40 --dirty=+ --exclude=*
        OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(failed)
        set(revision "")
    endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define MOESCOPE_REVISION \"@revision@\"\n" @ONLY)
