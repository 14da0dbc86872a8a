"""`python -m tutelage` is the command line, too."""

from tutelage.cli import main

if __name__ == "__main__":
    main()
