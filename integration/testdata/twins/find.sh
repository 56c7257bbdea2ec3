# What find(1) sees of times, links, modes, sizes and owners.
# needs: find
mkdir -p tree/a/b tree/c
for i in 1 2 3 4 5; do printf "%0${i}000d" 0 >tree/a/f$i; touch -d "2001-02-0$i 03:04:05.00000000$i" tree/a/f$i; done
ln tree/a/f1 tree/c/hard; ln -s ../a/f2 tree/c/soft; mkfifo tree/c/fifo; : >tree/a/b/empty
chmod 4755 tree/a/f3; chmod 000 tree/a/f4; chmod 1777 tree/c
show() { echo "== $*"; find tree "$@" | sort; }
show -newer tree/a/f3 -name 'f*'
show -anewer tree/a/f3 -name 'f?' -false
show -samefile tree/a/f1
show -links 2 -type f
show -type d -links +2
show -perm -4000
show -perm 000
show -empty
show -size +3k -type f
show -type l -lname '../a/*'
find -L tree -samefile tree/a/f2 | sort
find tree -type f -newermt 2001-02-03 ! -newermt 2001-02-05 -printf '%p %TY-%Tm-%Td %TH:%TM:%TS %s %n %m\n' | sort
find tree -name 'f[45]' -delete; find tree | sort
find tree -depth -exec rm -d {} \; ; [ ! -e tree ] && echo gone
touch -d '10 seconds ago' early; touch late; find . -newer early -name late; find . -newercm early -name late
